"""Small pairs of pictures, and models that translate them or fill holes in a known way."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from src.data.dataset import Arrays
from src.data.spec import Batch, Field, Spec
from src.models.model import Model

SIDE = 16


def pictures(count: int) -> np.ndarray:
    """uint8 [N, 3, SIDE, SIDE], N <= 900: a bright rectangle on a dark ground, no two of one place and size."""
    random = np.random.default_rng(0)
    x = np.full((count, 3, SIDE, SIDE), 30, np.uint8)
    for picture, shape in zip(x, random.permutation(900), strict=False):
        top, left, height, width = np.unravel_index(shape, (6, 6, 5, 5)) + np.array([1, 1, 4, 4])
        picture[:, top : top + height, left : left + width] = random.integers(120, 256, 3)[:, None, None]
    return x


def drawings(x: np.ndarray) -> np.ndarray:
    """uint8 [N, 1, SIDE, SIDE]: white where the rectangle is."""
    return np.where(x.max(axis=1, keepdims=True) > 100, 255, 0).astype(np.uint8)


class Rectangles:
    """Pairs of a shape in black and white and its coloured picture."""

    name = "rectangles"
    spec = Spec({"x": Field("image", (3, SIDE, SIDE), "uint8"), "source": Field("image", (1, SIDE, SIDE), "uint8")})

    def __init__(self, train: int = 60, validation: int = 20, test: int = 24) -> None:
        parts = {"train": train, "validation": validation, "test": test}
        x = dict(zip(parts, np.split(pictures(sum(parts.values())), np.cumsum([*parts.values()])[:-1]), strict=True))
        self.splits: dict[str, Any] = {name: Arrays(x=part, source=drawings(part)) for name, part in x.items()}

    def prepare(self) -> None: ...

    def hashes(self) -> dict[str, str]:
        return {}

    def split(self, name: str) -> Any:
        return self.splits[name]


class Translator(Model):
    """Gives the true picture of a drawing, found among those of the data, plus `error` levels; of a shift, the next one's."""

    def __init__(self, data: Rectangles, error: int = 0, shift: int = 0) -> None:
        super().__init__(data.spec, 0)
        self.data, self.error, self.shift = data, error, shift
        self.seen: list[int] = []

    def conditions(self, seeds: Sequence[int]) -> Batch:
        return {"source": torch.ones(len(seeds), 1, SIDE, SIDE)}

    def sample(self, seeds: Sequence[int], cond: Batch | None = None, weights: str = "ema") -> Tensor:
        assert cond is not None
        self.seen += seeds
        source = cond["source"]
        assert (source.min(), source.max()) == (-1, 1), "the model's format"
        rows = []
        for one in self.spec.fields["source"].to_data(source).numpy():
            name, row = next(
                (name, int(found[0]))
                for name, split in self.data.splits.items()
                if len(found := np.flatnonzero((split["source"] == one).all(axis=(1, 2, 3))))
            )
            split = self.data.splits[name]["x"]
            rows.append(split[(row + self.shift) % len(split)])
        x = torch.from_numpy(np.stack(rows)).int() + self.error
        return x.clamp(0, 255) / 127.5 - 1


class Filler(Model):
    """Fills holes, a square of 6 x 6 at a place of the seed, with one level; spoils what is known."""

    def __init__(self, data: Rectangles, level: float = 0.0) -> None:
        super().__init__(Spec({"x": data.spec.x}), 0)
        self.level = level

    def conditions(self, seeds: Sequence[int]) -> Batch:
        return self.conditions_from({"x": torch.ones(len(seeds), *self.spec.shape)}, seeds)

    def conditions_from(self, batch: Batch, seeds: Sequence[int]) -> Batch:
        mask = torch.zeros(len(seeds), 1, SIDE, SIDE)
        for one, seed in zip(mask, seeds, strict=True):
            one[:, seed % 10 : seed % 10 + 6, seed % 7 : seed % 7 + 6] = 1
        return {"source": batch["x"] * (1 - mask), "mask": mask}

    def sample(self, seeds: Sequence[int], cond: Batch | None = None, weights: str = "ema") -> Tensor:
        assert cond is not None
        return torch.full((len(seeds), *self.spec.shape), self.level)
