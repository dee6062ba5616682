"""Data sets that need no download, for configs of benchmarks (AIGC_PACKAGES=benchmarks)."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from src.data import idx
from src.data.dataset import Split
from src.data.mnist import MNIST, ROWS
from src.data.spec import Spec


class Noise:
    """Uniform bytes in the shape of a data set: [N, *shape] and ten classes. Time does not hang on what pixels show."""

    def __init__(self, shape: Sequence[int] = (3, 32, 32), samples: int = 10_000) -> None:
        self.name = "x".join(map(str, ("noise", *shape)))
        self.spec = Spec("image", tuple(shape), tuple("0123456789"))
        random = np.random.default_rng(0)
        self.split_ = Split(random.integers(0, 256, (samples, *shape), np.uint8), np.arange(samples) % 10)

    def prepare(self) -> None:
        """Nothing to get."""

    def hashes(self) -> dict[str, str]:
        return {self.name: hashlib.sha256(self.split_.x.tobytes()).hexdigest()}

    def split(self, name: str) -> Split:
        """The same samples for each split."""
        return self.split_


class RepeatedMNIST(MNIST):
    """MNIST with its 55,000 training images so many `times` over, in an idx file that is memory-mapped like the original."""

    def __init__(self, folder: str | Path, times: int) -> None:
        super().__init__(folder)
        self.times = times

    def split(self, name: str) -> Split:
        if name != "train":
            return super().split(name)
        x, y = self._read("repeated-images-idx3-ubyte"), self._read("repeated-labels-idx1-ubyte")
        return Split(x[:, None], y.astype(np.int64))

    def write(self, original: Path) -> None:
        """The idx files, from the pinned ones in the folder `original`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in self.files:
            (self.folder / name).symlink_to((original / name).resolve())
        for part in ("images-idx3", "labels-idx1"):
            rows = np.ascontiguousarray(idx.read(original / f"train-{part}-ubyte")[ROWS["train"]])
            sizes = (len(rows) * self.times, *rows.shape[1:])
            with open(self.folder / f"repeated-{part}-ubyte", "wb") as file:
                file.write(bytes((0, 0, idx.UINT8, rows.ndim)) + np.array(sizes, ">u4").tobytes())
                for _ in range(self.times):
                    file.write(rows.tobytes())
