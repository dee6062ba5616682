"""What every model offers to the run around it: updates, a clock, scalars, samples."""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from src.data.spec import Batch, Spec


class Model(nn.Module):
    """One training rule. It owns its updates, optimizers, schedules and averages, and knows no config, file or data set.

    spec: the data's interface. seed: of every random stream of the training.
    step: generator updates so far; images_seen: real samples shown so far. Lightning, which trains it as a `Training`
    (src/models/training.py), has counters of its own, which are used for nothing.
    """

    def __init__(self, spec: Spec, seed: int) -> None:
        super().__init__()
        self.spec, self.seed = spec, seed
        self.step = 0
        self.images_seen = 0

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def configure_optimizers(self) -> list[Optimizer]:
        """New ones of this model's networks, in the order in which `training_step` takes them."""
        raise NotImplementedError

    def training_step(self, block: Batch, optimizers: Sequence[Optimizer]) -> None:
        """The updates that a block [K, B, ...] of batches is for; several to one call keep Lightning's overhead small."""
        raise NotImplementedError

    def scalars(self) -> dict[str, float]:
        """What the last update measured, by name."""
        raise NotImplementedError

    def sampler(self, weights: str = "ema") -> nn.Module:
        """The network that samples come from: the average ("ema", where there is one) or the one in training ("raw")."""
        raise NotImplementedError

    def labels(self, seeds: Sequence[int]) -> Tensor | None:
        """The classes [N] int64 of samples that none is asked for: seed modulo their number; None without conditioning."""
        raise NotImplementedError

    def sample(
        self,
        seeds: Sequence[int],
        y: Tensor | None = None,
        weights: str = "ema",
        truncation: float | None = None,
        side: int | None = None,
    ) -> Tensor:
        """One sample per seed, [N, *spec.shape] on the CPU; sample i depends on seeds[i] (and y[i]) alone.

        y: classes [N], `labels(seeds)` where None. truncation: less varied, more typical samples; None for all there is.
        side: of images from a generator that renders any; None for the data's.
        """
        raise NotImplementedError

    def interpolate(
        self,
        rows: int,
        steps: int,
        seed: int,
        y: Tensor | None = None,
        weights: str = "ema",
        truncation: float | None = None,
        side: int | None = None,
    ) -> Tensor:
        """Samples [rows, steps, *spec.shape], each row of one class, y [rows], on the way from one latent to another."""
        raise NotImplementedError

    def example_inputs(self) -> tuple[Tensor, ...]:
        """Inputs [B, ...] of `sampler()`, to trace it with."""
        raise NotImplementedError

    def clock(self) -> dict[str, int]:
        return {"step": self.step, "images_seen": self.images_seen}

    def set_clock(self, clock: Mapping[str, int]) -> None:
        self.step, self.images_seen = clock["step"], clock["images_seen"]


def unstack(block: Batch) -> Iterator[Batch]:
    """A block [K, B, ...] as K batches [B, ...]."""
    for k in range(len(block.x)):
        yield Batch(*(None if part is None else part[k] for part in block))  # type: ignore[arg-type]
