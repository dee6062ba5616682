"""Arrays that are computed once and kept: what is measured of real data.

`cached` keeps them in the user's cache; `shipped` reads those in the repository.
"""

import hashlib
import io
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from src.system.files import write_atomic

log = logging.getLogger(__name__)

REFERENCES = Path(__file__).parent / "references"
ARRAYS = 6  # increase it when the cached arrays change but not their meaning

Arrays = dict[str, np.ndarray]


def digest(x: np.ndarray) -> str:
    """SHA-256 of an array's shape and bytes; file hashes are the same for a resized or shortened split."""
    return hashlib.sha256(str(x.shape).encode() + np.ascontiguousarray(x).tobytes()).hexdigest()


def cached(folder: Path, described: dict[str, Any], compute: Callable[[], Arrays]) -> Arrays:
    """Arrays from the cache, keyed by `described` and by the settings that affect rounding; computed if missing or damaged."""
    rounding = {"arrays": ARRAYS, "threads": torch.get_num_threads(), "matmul_precision": torch.get_float32_matmul_precision()}
    digest = hashlib.sha256(json.dumps(described | rounding, sort_keys=True).encode()).hexdigest()
    path = folder / f"reference-{digest[:32]}.npz"
    try:
        with np.load(path, allow_pickle=False) as stored:
            return dict(stored)
    except FileNotFoundError:
        pass
    except Exception as error:  # zipfile checks CRCs and raises nearly any error on damaged bytes
        log.warning("%s is damaged (%s): computing it again", path, error)

    arrays = compute()
    folder.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    write_atomic(path, buffer.getvalue())
    return arrays


def cached_controls(folder: Path, described: dict[str, Any], compute: Callable[[], Any]) -> Any:
    """The metrics of controls, plain JSON values, from the cache; see `cached`."""
    found = cached(folder, described, lambda: {"controls": np.array(json.dumps(compute()))})
    return json.loads(str(found["controls"]))


def shipped(described: dict[str, Any], folder: Path = REFERENCES) -> Arrays | None:
    """Arrays from the repository, without the features; None where it has none of exactly this description."""
    path = reference_path(described, folder)
    if not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as stored:
        arrays = dict(stored)
    return arrays if json.loads(str(arrays.pop("described"))) == described else None


def reference_path(described: dict[str, Any], folder: Path = REFERENCES) -> Path:
    return folder / f"{described['data']}-{described['extractor']}.npz"
