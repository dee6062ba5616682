"""Data sets that need no download, for configs of benchmarks."""

import hashlib
from collections.abc import Sequence

import numpy as np

from src.data.dataset import Arrays
from src.data.spec import Spec


class Noise:
    """Uniform bytes in the shape of a data set: [N, *shape] and ten classes. Times do not depend on pixel values."""

    def __init__(self, shape: Sequence[int] = (3, 32, 32), samples: int = 10_000) -> None:
        self.name = "x".join(map(str, ("noise", *shape)))
        self.spec = Spec.of("image", tuple(shape), tuple("0123456789"))
        random = np.random.default_rng(0)
        self.arrays = Arrays(x=random.integers(0, 256, (samples, *shape), np.uint8), y=np.arange(samples) % 10)

    def prepare(self) -> None:
        """Nothing to do."""

    def hashes(self) -> dict[str, str]:
        return {self.name: hashlib.sha256(self.arrays["x"].tobytes()).hexdigest()}

    def split(self, name: str) -> Arrays:
        """The same samples for each split."""
        return self.arrays
