"""The 1,797 handwritten digits, 8 x 8 pixels, that scikit-learn contains: real data without a download."""

import hashlib
from functools import cached_property
from typing import ClassVar

import numpy as np

from src.config.errors import UserError
from src.data.dataset import Arrays
from src.data.spec import Spec

# Rows of the pinned permutation.
ROWS = {"train": slice(0, 1_197), "validation": slice(1_197, 1_497), "test": slice(1_497, 1_797)}


class Digits:
    """Optical recognition of handwritten digits (Alpaydin and Kaynak 1998), the part that scikit-learn contains.

    Images are uint8 [N, 1, 8, 8], ink 255 on background 0 (scaled from the original 0..16); labels int64 0..9.
    """

    name = "digits"
    sha256: ClassVar[dict[str, str]] = {
        "x": "103d71e3db0d971b187366d8650b43d2e455ba9e73dffae5541c008d5e3f51e0",
        "y": "cef12ef94d84a61325b9863f0c84ee7d227f6418b1fd273cb70a2ab7f12c87db",
    }

    def __init__(self) -> None:
        self.spec = Spec.of("image", (1, 8, 8), tuple("0123456789"))

    def prepare(self) -> None:
        """Check that this scikit-learn contains the pinned arrays; raises UserError otherwise."""
        if self.hashes() != self.sha256:
            raise UserError("this scikit-learn carries other digits than the pinned ones: install the locked version")

    def hashes(self) -> dict[str, str]:
        """SHA-256 of all images and of all labels, in the pinned order."""
        return {name: hashlib.sha256(array.tobytes()).hexdigest() for name, array in self._all.items()}

    def split(self, name: str) -> Arrays:
        """ "train" (1,197), "validation" (300) or "test" (300)."""
        return Arrays(x=self._all["x"][ROWS[name]], y=self._all["y"][ROWS[name]])

    @cached_property
    def _all(self) -> dict[str, np.ndarray]:
        from sklearn.datasets import load_digits

        source = load_digits()
        # RandomState's streams never change; those of default_rng may change with NumPy's version.
        order = np.random.RandomState(0).permutation(len(source.target))
        x = np.round(source.images * 255 / 16).astype(np.uint8)  # [1797, 8, 8]
        return {"x": x[order, None], "y": source.target[order].astype(np.int64)}
