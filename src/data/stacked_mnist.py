"""Stacked MNIST: images with three digits as channels, which have 1,000 modes."""

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from src.config.errors import UserError
from src.data.dataset import Arrays
from src.data.mnist import MNIST
from src.data.sources import Source
from src.data.spec import Spec

SIZES = {"train": 128_000, "validation": 5_000, "test": 26_000}


class Triples:
    """Images [N, 3, 28, 28], stacked from single digits at each access.

    All splits in full would take 374 MB. This class holds only indices into the memory-mapped, shared digits.

    digits: [M, 1, 28, 28]. rows: [N, 3], the indices of the three digits of each image.
    """

    ndim = 4

    def __init__(self, digits: np.ndarray, rows: np.ndarray) -> None:
        self.digits, self.rows = digits, rows
        self.shape = (len(rows), 3, *digits.shape[2:])
        self.dtype = digits.dtype

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> np.ndarray:
        """Images by an index of the first dimension: a number, a slice or an array of indices of any shape."""
        return np.asarray(self.digits[:, 0][self.rows[index]])  # [..., 3, 28, 28]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("the images are stacked at each access: there is nothing to share")
        return self[:] if dtype is None else self[:].astype(dtype)

    def copy(self) -> np.ndarray:
        """All images, as an array."""
        return self[:]


class StackedMNIST:
    """Metz et al. 2016 (arXiv:1611.02163), with PacGAN's number of images (Lin et al. 2018, arXiv:1712.04086).

    Images are uint8 [N, 3, 28, 28]: three digits drawn with replacement from the same split of MNIST. Labels are int64
    0..999, the three digits as one number, first channel first.

    folder: the folder of MNIST's four files. sources: as in MNIST.
    """

    name = "stacked_mnist"
    sha256: ClassVar[dict[str, str]] = {
        "train triples": "950be7d8451b6e651c1039f781f983ec57bceb23da0501957c45f63b3908d927",
        "validation triples": "df9c3f65c3a657cd8d61b639842cc7a17a0acae2217568407bd2cf23885df010",
        "test triples": "675badff7444fd880b2afcff2acbc3b563530ff1e0fb654d8f7c29397e6c2c07",
    }

    def __init__(self, folder: str | Path, sources: Sequence[Source] | None = None) -> None:
        self.mnist = MNIST(folder, sources)
        self.spec = Spec.of("image", (3, 28, 28), tuple(f"{number:03d}" for number in range(1_000)))

    def prepare(self) -> None:
        """Get and check MNIST's files, check the draw; raises UserError with the remedy."""
        self.mnist.prepare()
        if self._triple_hashes() != self.sha256:
            raise UserError("this NumPy draws other triples than the pinned ones: install the locked version")

    def hashes(self) -> dict[str, str]:
        """SHA-256 of MNIST's files and of the arrays of indices into its splits."""
        return self.mnist.hashes() | self._triple_hashes()

    def split(self, name: str) -> Arrays:
        """ "train" (128,000), "validation" (5,000) or "test" (26,000), each of the digits of MNIST's split of that name."""
        digits = self.mnist.split(name)
        rows = self._triples[name]
        # Users of x need only len, shape, an index of the first dimension, copy and conversion to an array.
        return Arrays(x=Triples(digits["x"], rows), y=digits["y"][rows] @ np.array([100, 10, 1]))  # type: ignore[arg-type]

    def _triple_hashes(self) -> dict[str, str]:
        return {f"{name} triples": hashlib.sha256(rows.tobytes()).hexdigest() for name, rows in self._triples.items()}

    @cached_property
    def _triples(self) -> dict[str, np.ndarray]:
        """Rows [N, 3] int64 of the MNIST split, by split."""
        # RandomState's streams never change; those of default_rng may change with NumPy's version.
        stream = np.random.RandomState(0)
        digits = {"train": 55_000, "validation": 5_000, "test": 10_000}
        return {name: stream.randint(digits[name], size=(size, 3), dtype=np.int64) for name, size in SIZES.items()}
