"""25 Gaussians on a grid in the plane: the smallest data that shows whether a generator drops modes."""

import hashlib
from functools import cached_property
from itertools import product
from typing import ClassVar

import numpy as np

from src.config.errors import UserError
from src.data.dataset import Arrays
from src.data.spec import Spec

SCALE = 5.0  # divides the papers' coordinates, so that a generator that ends in tanh can reach every point
SIGMA = 0.05 / SCALE  # standard deviation of each Gaussian, in both directions
GRID = tuple(product((-4, -2, 0, 2, 4), repeat=2))  # the papers' coordinates, in label order
CENTRES = np.array(GRID) / SCALE  # [25, 2] float64

# Rows of the pinned draw.
ROWS = {"train": slice(0, 100_000), "validation": slice(100_000, 110_000), "test": slice(110_000, 120_000)}


class Gaussians:
    """The "2D grid" of VEEGAN (Srivastava et al. 2017, arXiv:1705.07761) and PacGAN (Lin et al. 2018, arXiv:1712.04086):
    means {-4, -2, 0, 2, 4}^2, standard deviation 0.05, equal weights.

    Points are float32 [N, 2], divided by SCALE = 5: centres in [-0.8, 0.8], sigma 0.01, all points in (-0.9, 0.9).
    Labels int64 0..24 number the Gaussians; the class names are the papers' coordinates.
    """

    name = "gaussians"
    sha256: ClassVar[dict[str, str]] = {
        "x": "efe96c7ed3ccecc25b004acc4854ddf418df79ae042a3945e181be4c91e68709",
        "y": "c94ab0b1e97076eeb5a2d789bd1e1a5f84d35a4fa1192e3da12a99515b17f6f9",
    }

    def __init__(self) -> None:
        self.spec = Spec.of("points", (2,), tuple(f"({x}, {y})" for x, y in GRID))

    def prepare(self) -> None:
        """Check that the points are the pinned ones; raises UserError otherwise."""
        if self.hashes() != self.sha256:
            raise UserError("this NumPy draws other points than the pinned ones: install the locked version")

    def hashes(self) -> dict[str, str]:
        """SHA-256 of all points and of all labels."""
        return {name: hashlib.sha256(array.tobytes()).hexdigest() for name, array in self._all.items()}

    def split(self, name: str) -> Arrays:
        """ "train" (100,000), "validation" (10,000) or "test" (10,000)."""
        return Arrays(x=self._all["x"][ROWS[name]], y=self._all["y"][ROWS[name]])

    @cached_property
    def _all(self) -> dict[str, np.ndarray]:
        # RandomState's streams never change; those of default_rng may change with NumPy's version.
        stream = np.random.RandomState(0)
        y = stream.randint(len(GRID), size=120_000, dtype=np.int64)
        x = CENTRES[y] + SIGMA * stream.standard_normal((len(y), 2))  # [120000, 2]
        return {"x": x.astype(np.float32), "y": y}
