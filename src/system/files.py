"""Atomic file writes: a file is complete or does not exist."""

import errno
import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from src.config.errors import UserError

TEMPORARY = ".tmp"
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # errno of an OSError: full disk, quota, limit of file size


def sha256(path: Path) -> str:
    """Hex digest of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_atomic(path: str | Path, data: bytes, durable: bool = True) -> None:
    """Write a file such that a crash at any moment leaves the old file or the new one, never a partial file.

    The temporary file is in the same folder, because a rename is atomic only within one file system. It is synced before the
    rename, the folder after it. durable=False skips both syncs, for files whose loss does not matter (one of thousands of
    pictures).
    """
    if os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path):
        raise UserError(f"cannot write {path} (a pipe or a device): choose another path")
    folder, name = os.path.split(path)  # no pathlib, no buffered file: half the time for a small file
    temporary = os.path.join(folder, f".{name}.{os.getpid()}{TEMPORARY}")
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        try:
            rest = memoryview(data)
            while rest:  # os.write may write only a part
                rest = rest[os.write(handle, rest) :]
            if durable:
                os.fsync(handle)
        finally:
            os.close(handle)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    if durable:
        sync_folder(Path(folder))


def remove_leftovers(folder: Path) -> None:
    """Delete temporary files of killed processes in and below `folder`; no other process may be writing there."""
    for path in folder.rglob(f".*{TEMPORARY}"):
        path.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make renames in `folder` durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON atomically; ValueError for NaN, which is not JSON."""
    write_atomic(path, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())


def read_json(path: Path, remedy: str) -> dict[str, Any]:
    """The object in a JSON file; raises UserError, which ends with `remedy`, if the file does not hold a complete object."""
    try:
        value = json.loads(path.read_text())
    except ValueError as error:  # no JSON, or no text at all
        raise UserError(f"{path} is damaged ({error}): {remedy}") from error
    if not isinstance(value, dict):
        raise UserError(f"{path} is damaged (no JSON object): {remedy}")
    return value


def check_writable(folder: Path, setting: str) -> None:
    """Raise UserError if no file can be made in `folder`; `setting` is the config key that chooses another folder."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, suffix=TEMPORARY):
            pass
    except OSError as error:
        raise UserError(f"cannot write to {folder} ({error.strerror}): choose another with {setting}=") from error
