"""Binary MNIST: MNIST's digits in black and white, drawn once, for likelihoods in nats."""

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np

from src.config.errors import UserError
from src.data.dataset import SPLITS, Arrays
from src.data.mnist import MNIST
from src.data.sources import Source
from src.data.spec import Field, Spec


class BinaryMNIST:
    """Each pixel of MNIST is white with probability grey / 255, drawn once for all (after Salakhutdinov and Murray 2008).

    Images are uint8 [N, 1, 28, 28], 0 or 255; labels int64 0..9. Splits as in MNIST. Papers have used other draws of the same
    distribution, some a new one in each epoch: likelihoods from two draws are comparable to about one nat.

    folder: the folder of MNIST's four files. sources: as in MNIST.
    """

    name = "binary_mnist"
    sha256: ClassVar[dict[str, str]] = {
        "train pixels": "046af25a26b8520da8292eb07b2b0d0cb10be107948a9beefb903221ce16833f",
        "validation pixels": "cba1c5df3c08989e01e611cb4b85d1275c036bcb72d7235fb94d37c77f846f8f",
        "test pixels": "0a23c0489534297f37e7a28c03eb9884b0e8a7503c415f87b8c0e6a51c00130f",
    }

    def __init__(self, folder: str | Path, sources: Sequence[Source] | None = None) -> None:
        self.mnist = MNIST(folder, sources)
        x = Field("image", (1, 28, 28), "uint8", levels=2)
        self.spec = Spec({"x": x, "y": Field("class", (), "int64", MNIST.classes)})

    def prepare(self) -> None:
        """Get and check MNIST's files, check the draw; raises UserError with the remedy."""
        self.mnist.prepare()
        if self._pixel_hashes() != self.sha256:
            raise UserError("this NumPy draws other pixels than the pinned ones: install the locked version")

    def hashes(self) -> dict[str, str]:
        """SHA-256 of MNIST's files and of the pixels of each split."""
        return self.mnist.hashes() | self._pixel_hashes()

    def split(self, name: str) -> Arrays:
        """ "train" (55,000), "validation" (5,000) or "test" (10,000)."""
        return Arrays(x=self._pixels[name], y=self.mnist.split(name)["y"])

    def _pixel_hashes(self) -> dict[str, str]:
        return {f"{name} pixels": hashlib.sha256(x.tobytes()).hexdigest() for name, x in self._pixels.items()}

    @cached_property
    def _pixels(self) -> dict[str, np.ndarray]:
        """uint8 [N, 1, 28, 28], by split."""
        pixels = {}
        for seed, name in enumerate(SPLITS):
            grey = self.mnist.split(name)["x"]
            # RandomState's streams never change; those of default_rng may change with NumPy's version.
            threshold = np.random.RandomState(seed).randint(255, size=grey.shape, dtype=np.uint8)  # 0..254
            pixels[name] = np.where(threshold < grey, 255, 0).astype(np.uint8)
        return pixels
