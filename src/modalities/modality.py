"""The modality protocol: how the tensors of a data set are shown to people.

A modality is built from the data's YAML by `_target_`, with `spec=`. Methods of only some modalities are capabilities: small
protocols below, tested with `isinstance`.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
from torch import Tensor

from src.config.errors import Diverged
from src.data.scripts import Reading
from src.data.spec import Batch
from src.data.vocabulary import Vocabulary


class Modality(Protocol):
    """Writes samples as files for people, and as arrays for other programs.

    samples: as returned by `finish`, [N, *spec.shape] unless stated otherwise, on any device.
    provenance: how the samples were made, in plain JSON values; its "model" is the hash of the generator's weights. It is
    written to a JSON file beside each file, with the marks (`sidecars.marks_of`). The marks are also written into the file, if
    its format allows it. Without provenance nothing is marked as generated: for real data, and for previews during training.

    A file appears complete or not at all. Raises UserError if a file that the lab did not write would be overwritten or
    deleted.
    """

    suffix: str  # of previews: ".png", ".txt"

    def finish(self, x: Tensor) -> Tensor:
        """Model output [..., *spec.shape] in the data's dtype; NaN raises Diverged."""
        ...

    def save(self, samples: Iterable[Tensor], folder: str | Path, seeds: Sequence[int], provenance: Mapping[str, Any]) -> None:
        """All samples as files in a folder, and `samples.json`; earlier samples there are deleted.

        samples: consecutive portions [n, ...], N samples in all. seeds: N, one per sample.
        """
        ...

    def save_archive(self, samples: Tensor, path: str | Path, seeds: Sequence[int], provenance: Mapping[str, Any]) -> None:
        """All samples in one NumPy archive, with `seeds` int64 [N] and `marks`, which is JSON."""
        ...

    def preview(self, samples: Tensor, path: str | Path, provenance: Mapping[str, Any] | None = None) -> None:
        """One file with the suffix `suffix` that shows many samples; of very many, only the first ones."""
        ...


@runtime_checkable
class Films(Protocol):
    """Makes a film of previews."""

    def film(
        self,
        frames: Sequence[str | Path | np.ndarray],
        path: str | Path,
        captions: Sequence[str] | None = None,
        provenance: Mapping[str, Any] | None = None,
    ) -> None:
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
    """Shows samples beside the nearest training data, which makes copies visible."""

    def neighbours(
        self, samples: Tensor, nearest: Tensor, path: str | Path, provenance: Mapping[str, Any] | None = None
    ) -> None:
        """nearest: [N, K, *spec.shape], the K neighbours of each sample; all in one file."""
        ...


@runtime_checkable
class ReadsText(Protocol):
    """Makes tokens of text: prompts and sources that a user types."""

    vocabulary: Vocabulary

    def read(self, text: str) -> Reading:
        """The text in the characters of the vocabulary, as far as possible."""
        ...

    def in_script(self, script: str) -> Self:
        """The same modality, but it shows Chinese text in a script: "simplified" or "traditional"."""
        ...

    def encode(self, text: str, key: str) -> Tensor:
        """Tokens [P]; UserError, which names the setting `key`, for what the vocabulary does not have."""
        ...

    def encode_source(self, text: str) -> Batch:
        """The conditions of one sample, for data of pairs: "source" [1, S] and "source_length" [1]."""
        ...


@runtime_checkable
class Plays(Protocol):
    """Shows music, and plays it.

    formats: suffixes of the files of one sample. usual: samples, where a user asks for no number. classes: [N], of the samples.
    """

    formats: tuple[str, ...]
    usual: int

    def listen(self, samples: Tensor, path: str | Path, classes: Tensor | None = None) -> list[Path]:
        """The beginnings of the first samples as small files beside `path`, with other suffixes: sound and score."""
        ...

    def save_one(
        self, sample: Tensor, path: str | Path, seed: int, provenance: Mapping[str, Any], classes: Tensor | None = None
    ) -> None:
        """One sample [T, V] as a file with a suffix of `formats`."""
        ...

    def with_settings(self, **settings: Any) -> Self:
        """The same modality with another tempo, key ..."""
        ...

    def read(self, path: str | Path, key: str, voices: int | None = None) -> Any:
        """A file of the user's as symbols; UserError, which names the setting `key`."""
        ...


@runtime_checkable
class Moves(Protocol):
    """Shows clips that move."""

    def move(self, samples: Tensor, path: str | Path) -> Path:
        """The first samples as one small GIF beside `path`."""
        ...


def check_nan(x: Tensor) -> Tensor:
    """The tensor itself; NaN raises Diverged, because it would become a black pixel or an invisible point."""
    if x.isnan().any():
        raise Diverged("the samples contain NaN: the model has diverged, take an earlier checkpoint or lower its learning rate")
    return x
