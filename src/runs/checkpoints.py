"""Checkpoint files, written atomically, each with a SHA-256 file beside it. src/runs/folder.py decides which are kept."""

import hashlib
import io
import zipfile
from pathlib import Path
from typing import Any

from src.config.errors import UserError
from src.system.files import sha256, write_atomic


def digest_path(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def is_intact(path: Path) -> bool:
    """Whether a checkpoint exists and its bytes match its SHA-256 file; or, copied without it, the file's own CRC-32 sums."""
    digest = digest_path(path)
    if path.is_file() and digest.is_file():
        return digest.read_text(errors="replace").split()[:1] == [sha256(path)]
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (OSError, zipfile.BadZipFile):
        return False


def step_of(checkpoint: Path) -> int:
    return int(checkpoint.stem.split("-")[1])


def save_checkpoint(checkpoint: dict[str, Any], path: Path) -> None:
    """Write a checkpoint atomically; UserError if that fails. The digest is written first, so that every file has one."""
    import torch

    buffer = io.BytesIO()
    torch.save(checkpoint, buffer)
    data = buffer.getvalue()
    try:
        digest = hashlib.sha256(data).hexdigest()
        write_atomic(digest_path(path), f"{digest}  {path.name}\n".encode())
        write_atomic(path, data)
    except OSError as error:
        raise UserError(f"cannot save {path} ({error.strerror}): make room; the last good checkpoint is kept") from error


def load_checkpoint(path: Path, map_location: Any = "cpu") -> dict[str, Any]:
    """A checkpoint's tensors and plain values; UserError if it is missing, damaged, or holds anything else, such as code."""
    import torch

    if not path.is_file():
        raise UserError(f"checkpoint {path} is not there: all machines of a run need its folder, on a disk that they share")
    if not is_intact(path):
        raise UserError(f"checkpoint {path} is damaged (its checksum does not match): copy it again, or use another one")
    try:
        return torch.load(path, map_location=map_location, weights_only=True)
    except Exception as error:  # the unpickler may raise any type
        raise UserError(f"{path} holds more than tensors and plain values and is not loaded: use another one") from error


def drop_checkpoint(path: Path) -> None:
    """Delete a checkpoint with its digest, if it is there: a resumed Lightning callback may name one that has gone."""
    path.unlink(missing_ok=True)
    digest_path(path).unlink(missing_ok=True)
