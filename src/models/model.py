"""What every model offers to the run around it: a clock, scalars, samples."""

from collections.abc import Iterator, Sequence
from typing import Any

from pytorch_lightning import LightningModule
from torch import Tensor, nn

from src.spec import Batch, Spec


class Model(LightningModule):
    """One training rule. It owns its updates, optimizers, schedules and averages, and knows no config, file or data set.

    spec: the data's interface. seed: of every random stream of the training.
    step: generator updates so far; images_seen: real samples shown so far. Lightning's own counters are used for nothing.
    """

    def __init__(self, spec: Spec, seed: int) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.spec, self.seed = spec, seed
        self.step = 0
        self.images_seen = 0

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

    def interpolate(self, rows: int, steps: int, seed: int, weights: str = "ema") -> Tensor:
        """Samples [rows, steps, *spec.shape], each row on the way from one latent to another."""
        raise NotImplementedError

    def example_inputs(self) -> tuple[Tensor, ...]:
        """Inputs [B, ...] of `sampler()`, to trace it with."""
        raise NotImplementedError

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["clock"] = {"step": self.step, "images_seen": self.images_seen}
        checkpoint.pop("loops", None)  # Lightning's counters: the clock is the only truth

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.step, self.images_seen = checkpoint["clock"]["step"], checkpoint["clock"]["images_seen"]


def unstack(block: Batch) -> Iterator[Batch]:
    """A block [K, B, ...] as K batches [B, ...]."""
    for k in range(len(block.x)):
        yield Batch(*(None if part is None else part[k] for part in block))  # type: ignore[arg-type]
