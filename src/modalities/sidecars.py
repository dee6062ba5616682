"""JSON files beside samples: how the samples were made, and which files the lab wrote.

In a folder of samples, `samples.json` is written last: if it exists, the files that it lists are complete. Until then its name
is `unfinished.json`. Both list the files that may be deleted for new samples.
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
    """The marks of a generated file: the software, that it is generated, and the model."""
    return {"Software": SOFTWARE, "generated": "true", "model": provenance["model"]}


def write_marked(
    path: str | Path,
    encode: Callable[[dict[str, str]], bytes],
    provenance: Mapping[str, Any] | None,
    beside: Mapping[str, Callable[[dict[str, str]], bytes]] | None = None,
) -> None:
    """Write `encode(marks)` to a file, and the JSON file beside it if there is provenance.

    beside: further files of the same name, by suffix; the JSON file lists them.
    """
    path = Path(path)
    sidecar = path.with_suffix(".json")
    own = own_record(sidecar)
    if provenance:
        for other in ([] if own else [path]) + [path.with_suffix(suffix) for suffix in beside or {}]:
            if other.exists() and other.name not in (own.get("file"), *own.get("beside", [])):
                raise _not_ours(other)
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_marked(path, keep=True)  # the JSON file of an older file, and what lies beside that
    marks = marks_of(provenance) if provenance else {}
    for suffix, of_marks in (beside or {}).items():
        write_atomic(path.with_suffix(suffix), of_marks(marks))
    write_atomic(path, encode(marks))
    if provenance:
        names = {"beside": [path.with_suffix(suffix).name for suffix in beside]} if beside else {}
        write_atomic(sidecar, _json({**marks, "file": path.name, **names, "provenance": provenance}))


def write_record(path: Path, record: Mapping[str, Any], provenance: Mapping[str, Any]) -> None:
    """Write a JSON file about what a model does, marked as the lab's."""
    write_atomic(path, _json({**marks_of(provenance), "provenance": provenance, **record}))


def remove_marked(path: Path, keep: bool = False) -> None:
    """Delete an earlier file that `write_marked` wrote, and those beside it; UserError if the lab did not write them.

    keep: whether the file itself stays.
    """
    sidecar = path.with_suffix(".json")
    if own := own_record(sidecar):
        for name in ([] if keep else [path.name]) + own.get("beside", []):
            (path.parent / Path(name).name).unlink(missing_ok=True)
        sidecar.unlink()


def write_archive(path: str | Path, seeds: Sequence[int], provenance: Mapping[str, Any], **arrays: Any) -> None:
    """Arrays in one compressed NumPy archive, with `seeds` int64 [N] and `marks`."""

    def encode(marks: dict[str, str]) -> bytes:
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays, seeds=np.asarray(seeds, np.int64), marks=np.array(json.dumps(marks)))
        return buffer.getvalue()

    write_marked(path, encode, provenance)


def stems_of(seeds: Sequence[int]) -> list[str]:
    """The names of the seeds' files without suffix: at least six digits, all of one width. UserError if a seed occurs twice."""
    if len(set(seeds)) != len(seeds):
        raise UserError("a seed occurs twice, and each names its files: give every sample its own seed")
    width = max([6, *(len(str(seed)) for seed in seeds)])
    return [f"{seed:0{width}d}" for seed in seeds]


def earlier_files(folder: Path, names: Iterable[str]) -> list[Path]:
    """The files of earlier samples in a folder, lists last; UserError if one of `names` exists and is not among them."""
    lists = [folder / DONE, folder / UNFINISHED]
    earlier = {name for path in lists for name in _listed(own_record(path))}
    present = set(os.listdir(folder)) if folder.is_dir() else set()
    for name in names:
        if name in present and name not in earlier:
            raise _not_ours(folder / name)
    return [folder / name for name in earlier] + lists


def begin_samples(folder: Path, earlier: Iterable[Path], record: Mapping[str, Any]) -> None:
    """Delete earlier samples, then write the list of new ones as `unfinished.json`.

    record: contents of the later `samples.json`, with the marks. "seeds" is {file name: seed}, or a list if one of TABLES holds
        all samples. "samples", instead of "seeds", is a list with one item per sample. "sources", if there are any, is {file
        name: file name of its source}.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for path in earlier:
        path.unlink(missing_ok=True)
    write_atomic(folder / UNFINISHED, _json(record))


def end_samples(folder: Path) -> None:
    """Rename the list to `samples.json`, after all samples are written."""
    os.replace(folder / UNFINISHED, folder / DONE)
    sync_folder(folder)


def own_record(path: Path) -> dict[str, Any]:
    """The contents of a JSON file that the lab wrote; empty if there is no file. UserError if the lab did not write it."""
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
    """The file names in a list of samples, without folders, so that no file is outside the list's folder."""
    seeds = record.get("seeds", record.get("samples", {}))
    if not isinstance(seeds, dict):
        return list(TABLES)
    return [Path(name).name for name in [*seeds, *record.get("sources", {}).values()]]


def _not_ours(path: Path) -> UserError:
    gone = "" if path.suffix == ".json" else ", or the JSON file that said so is gone,"
    return UserError(
        f"{path} was not written by {SOFTWARE}{gone} and would be overwritten: move it, delete it, or choose another place"
    )


def _json(record: Mapping[str, Any]) -> bytes:
    return (json.dumps(record, indent=1, ensure_ascii=False) + "\n").encode()
