"""Files that are either whole or not there."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

TEMPORARY = ".tmp"


def sha256(path: Path) -> str:
    """Hex digest of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_atomic(path: Path, data: bytes, durable: bool = True) -> None:
    """Write a file so that a crash at any moment leaves the old one or the new one, never a part.

    The temporary file lies in the same folder (a rename is atomic within one file system only) and is synced before it takes
    the name; the folder is synced after. Where nothing is lost with the file (one of thousands of pictures), durable=False
    spares the syncs.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY}")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if durable:
        sync_folder(path.parent)


def remove_leftovers(folder: Path) -> None:
    """Delete what killed processes were writing in or below `folder`; for a folder that nobody else writes to now."""
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
    """Atomic, indented, refusing NaN (which is not JSON)."""
    write_atomic(path, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())
