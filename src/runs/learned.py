"""What a run's data set has learned (see Learns), such as a tokenizer: files in the run folder, used from there."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from src.config.errors import UserError
from src.data.dataset import Learns
from src.system.files import write_atomic


def keep(folder: Path, dataset: Any) -> dict[str, str]:
    """Write the files of a prepared data set. Returns their SHA-256 by name, for the manifest."""
    files = dataset.learned() if isinstance(dataset, Learns) else {}
    for name, data in files.items():
        write_atomic(folder / name, data)
    return {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}


def kept(folder: Path, hashes: Mapping[str, str]) -> dict[str, bytes]:
    """The contents of the files that a manifest names; UserError if one is missing or has other bytes."""
    found = {}
    for name, digest in hashes.items():
        path = folder / Path(name).name  # the manifest may come from someone else
        found[name] = path.read_bytes() if path.is_file() else b""
        if hashlib.sha256(found[name]).hexdigest() != digest:
            raise UserError(f"{path} is not what the run was made with: restore an intact copy, or train again with fresh=true")
    return found
