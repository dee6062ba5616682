"""The JSON files beside samples: what made them, and which files the lab wrote.

In a folder of samples `samples.json` is written last: where it is, the files it lists are complete. Until then it is
`unfinished.json`. Both name the files that may be deleted for new samples.
"""

import io
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from src.config.errors import UserError
from src.system.files import sync_folder, write_atomic

SOFTWARE = "AIGC Lab"
DONE, UNFINISHED = "samples.json", "unfinished.json"
TABLES = "samples.csv", "samples.txt"  # each holds all samples of its folder


def marks_of(provenance: Mapping[str, Any]) -> dict[str, str]:
    """What a file says of itself: that it was generated, with what and by which model."""
    return {"Software": SOFTWARE, "generated": "true", "model": provenance["model"]}


def write_marked(path: str | Path, encode: Callable[[dict[str, str]], bytes], provenance: Mapping[str, Any] | None) -> None:
    """Write what `encode` makes of the marks, and the JSON file beside it where there is provenance."""
    path = Path(path)
    sidecar = path.with_suffix(".json")
    if not own_record(sidecar) and provenance and path.exists():
        raise _not_ours(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    sidecar.unlink(missing_ok=True)  # an older file's
    marks = marks_of(provenance) if provenance else {}
    write_atomic(path, encode(marks))
    if provenance:
        write_atomic(sidecar, _json({**marks, "file": path.name, "provenance": provenance}))


def remove_marked(path: Path) -> None:
    """Delete an earlier file that `write_marked` wrote, and its JSON file; UserError for anyone else's."""
    sidecar = path.with_suffix(".json")
    if own_record(sidecar):
        path.unlink(missing_ok=True)
        sidecar.unlink()


def write_archive(path: str | Path, seeds: Sequence[int], provenance: Mapping[str, Any], **arrays: Any) -> None:
    """Arrays in one compressed NumPy archive, with `seeds` int64 [N] and `marks`."""

    def encode(marks: dict[str, str]) -> bytes:
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays, seeds=np.asarray(seeds, np.int64), marks=np.array(json.dumps(marks)))
        return buffer.getvalue()

    write_marked(path, encode, provenance)


def earlier_files(folder: Path, names: Iterable[str]) -> list[Path]:
    """The files of earlier samples in a folder, lists last; UserError where one of `names` is there and is not among them."""
    lists = [folder / DONE, folder / UNFINISHED]
    earlier = {name for path in lists for name in _listed(own_record(path))}
    present = set(os.listdir(folder)) if folder.is_dir() else set()
    for name in names:
        if name in present and name not in earlier:
            raise _not_ours(folder / name)
    return [folder / name for name in earlier] + lists


def begin_samples(folder: Path, earlier: Iterable[Path], record: Mapping[str, Any]) -> None:
    """Delete earlier samples, then list those that will be written now.

    record: the future `samples.json`, with the marks. "seeds" is {file name: seed}; or a list, where one of TABLES holds all
        samples, as is "samples", whose items describe one each.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for path in earlier:
        path.unlink(missing_ok=True)
    write_atomic(folder / UNFINISHED, _json(record))


def end_samples(folder: Path) -> None:
    """All samples are written."""
    os.replace(folder / UNFINISHED, folder / DONE)
    sync_folder(folder)


def own_record(path: Path) -> dict[str, Any]:
    """The contents of a JSON file that the lab wrote; empty where there is no file. UserError for anyone else's."""
    try:
        record = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except ValueError:
        record = None
    if not isinstance(record, dict) or record.get("Software") != SOFTWARE:
        raise _not_ours(path)
    return record


def _listed(record: Mapping[str, Any]) -> list[str]:
    """The names of the files that a list of samples names; none outside its folder."""
    seeds = record.get("seeds", record.get("samples", {}))
    return [Path(name).name for name in seeds] if isinstance(seeds, dict) else list(TABLES)


def _not_ours(path: Path) -> UserError:
    return UserError(f"{path} was not written by {SOFTWARE} and would be overwritten: move it, or choose another place")


def _json(record: Mapping[str, Any]) -> bytes:
    return (json.dumps(record, indent=1, ensure_ascii=False) + "\n").encode()
