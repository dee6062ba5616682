"""What every modality offers: what the tensors of a data set mean to a person.

Built from the data's YAML by `_target_` and called with `spec=`. What only some modalities can show is a capability: a small
protocol below, asked for by `isinstance`.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from torch import Tensor

from src.config.errors import Diverged


class Modality(Protocol):
    """Samples as files for people, and as arrays for other programs.

    Samples are what `finish` returns, [N, *spec.shape] unless said otherwise, on any device.
    provenance: what made them, in plain JSON values; its "model" is the hash of the generator's weights. It goes to a JSON file
    beside each file, with the marks (`sidecars.marks_of`), which also go into the file where its format has a place for them.
    Without provenance nothing is marked as generated: for real data, and for previews while training.

    A file appears complete or not at all. UserError where a file that the lab did not write would be overwritten or deleted.
    """

    suffix: str  # of a preview: ".png", ".txt"

    def finish(self, x: Tensor) -> Tensor:
        """What a model makes, in the data's own form, any leading dimensions; NaN raises Diverged."""
        ...

    def save(self, samples: Iterable[Tensor], folder: str | Path, seeds: Sequence[int], provenance: Mapping[str, Any]) -> None:
        """All samples as files in a folder, and `samples.json`; earlier samples there are deleted.

        samples: portions [n, ...] that follow each other, N in all. seeds: N, one per sample.
        """
        ...

    def save_archive(self, samples: Tensor, path: str | Path, seeds: Sequence[int], provenance: Mapping[str, Any]) -> None:
        """All samples in one NumPy archive, with `seeds` int64 [N] and `marks`, which is JSON."""
        ...

    def preview(self, samples: Tensor, path: str | Path, provenance: Mapping[str, Any] | None = None) -> None:
        """One file, named by `suffix`, that shows many samples; of very many the first."""
        ...


@runtime_checkable
class Films(Protocol):
    """Makes a film of previews."""

    def film(self, frames: Sequence[str | Path | np.ndarray], path: str | Path, captions: Sequence[str] | None = None) -> None:
        """frames: previews in order. captions: one per frame."""
        ...


@runtime_checkable
class ShowsInterpolations(Protocol):
    """Shows interpolations."""

    def strip(self, samples: Tensor, path: str | Path, provenance: Mapping[str, Any] | None = None) -> None:
        """Interpolations [R, T, *spec.shape], T steps between each of R pairs, in one file."""
        ...


@runtime_checkable
class ShowsNeighbours(Protocol):
    """Shows samples beside the training data nearest to them: copies would be seen."""

    def neighbours(
        self, samples: Tensor, nearest: Tensor, path: str | Path, provenance: Mapping[str, Any] | None = None
    ) -> None:
        """nearest: [N, K, *spec.shape], the K neighbours of each sample; all in one file."""
        ...


def check_nan(x: Tensor) -> Tensor:
    """The tensor itself; NaN raises Diverged: it would become a black pixel, or a point nowhere."""
    if x.isnan().any():
        raise Diverged("the samples contain NaN: the model has diverged, take an earlier checkpoint or lower its learning rate")
    return x
