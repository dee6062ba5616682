"""The data set protocol. One file per data set implements it with NumPy alone: errors must not wait for torch."""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np

from src.config.errors import UserError
from src.data.rows import indexed
from src.data.spec import Spec

SPLITS = ("train", "validation", "test")


class Split(Protocol):
    """One part of a data set, in its pinned order."""

    def __len__(self) -> int: ...

    def batch(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        """Samples by index, any shape of indices: field name -> [*indices.shape, *field.shape]."""


class Arrays:
    """A split with one array per field, [N, *field.shape]; memory-mapped arrays stay in their files.

    Fields that are None are left out.
    """

    def __init__(self, **fields: np.ndarray | None) -> None:
        self.fields = {name: array for name, array in fields.items() if array is not None}
        self._rows = {name: indexed(array) for name, array in self.fields.items()}

    def __len__(self) -> int:
        return len(next(iter(self.fields.values())))

    def __getitem__(self, name: str) -> Any:
        """The whole array of a field."""
        return self.fields[name]

    def batch(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        return {name: rows[indices] for name, rows in self._rows.items()}


class Dataset(Protocol):
    """A named set of samples with pinned splits and pinned bytes."""

    name: str
    spec: Spec

    def prepare(self) -> None:
        """Get missing files and check every byte; raises UserError with the remedy."""

    def hashes(self) -> dict[str, str]:
        """SHA-256 of each file (or array) that the samples come from, by name."""

    def split(self, name: str) -> Split:
        """The split `name`, one of SPLITS."""


@runtime_checkable
class Learns(Protocol):
    """A data set that learns something from its training part, such as a tokenizer. A run keeps it, and goes on using it."""

    def learned(self) -> dict[str, bytes]:
        """Contents of files by name; empty if its settings ask for nothing of the kind."""

    def restore(self, files: Mapping[str, bytes]) -> None:
        """Take what a run keeps, which is not empty, instead of learning it again."""


def notes_of(dataset: Any) -> dict[str, int]:
    """What a prepared data set counts in `notes()`, such as samples left out; empty if it has no such method."""
    return dataset.notes() if hasattr(dataset, "notes") else {}


def licence_of(dataset: Any) -> str | None:
    """What a data set says in `licence` of what is made from it, if it asks for anything; manifests and sidecars have it."""
    return getattr(dataset, "licence", None)


def check_dataset(dataset: Dataset) -> None:
    """Raise UserError unless a prepared data set is what it says: name, hashes, and a sample of each split against the spec."""
    kind = type(dataset).__name__
    if not (isinstance(dataset.name, str) and dataset.name):
        raise UserError(f"{kind}.name is {dataset.name!r}: must be a word")
    hashes: Any = dataset.hashes()
    if not (isinstance(hashes, dict) and all(isinstance(word, str) for entry in hashes.items() for word in entry)):
        raise UserError(f"{kind}.hashes() gives {shown(hashes)}: must be a dict of names and SHA-256, both words")
    for name in SPLITS:
        split = dataset.split(name)
        samples = split.batch(np.arange(min(1, len(split))))
        for field, wanted in dataset.spec.fields.items():
            found = samples.get(field)
            expected = f"{wanted.dtype} {list(wanted.shape)}"
            if not isinstance(found, np.ndarray) or f"{found.dtype} {list(found.shape[1:])}" != expected:
                what = f"{found.dtype} {list(found.shape[1:])}" if isinstance(found, np.ndarray) else shown(found)
                raise UserError(f"{kind}: a sample's field {field!r} is {expected} by the spec, but {what} in the split {name}")


def shown(value: object) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"


def read_all(split: Split, name: str) -> np.ndarray:
    """All values of one field of a split, [N, *field.shape]; not copied if the split is `Arrays`."""
    return split[name] if isinstance(split, Arrays) else split.batch(np.arange(len(split)))[name]
