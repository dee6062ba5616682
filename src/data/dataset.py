"""What every data set offers; one file per data set implements it, with numpy alone (no torch: errors must come fast)."""

from typing import NamedTuple, Protocol

import numpy as np

from src.data.spec import Spec

SPLITS = ("train", "validation", "test")


class Split(NamedTuple):
    """One part of a data set, in its pinned order.

    x: [N, *spec.shape], uint8 for images; memory-mapped where it comes from a file.
    y: [N] int64 labels, or None.
    """

    x: np.ndarray
    y: np.ndarray | None


class Dataset(Protocol):
    """A named set of samples with pinned splits and pinned bytes."""

    name: str
    spec: Spec

    def prepare(self) -> None:
        """Get the files where they are missing and check every byte; raises UserError with the remedy."""

    def hashes(self) -> dict[str, str]:
        """SHA-256 of each file (or array) that the samples come from, by name."""

    def split(self, name: str) -> Split:
        """One of SPLITS."""
