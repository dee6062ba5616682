"""What rules with a generator and a discriminator share: an optimizer for each, their schedules, and the average."""

from collections.abc import Callable
from typing import Any

from torch import nn
from torch.optim import Optimizer

from src.models.model import Model, settings_of
from src.training.ema import EMA


class Adversarial(Model):
    """A rule that trains a generator and a discriminator against each other.

    A subclass makes them with `set_networks` and defines `update`.
    """

    def set_networks(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        g_optimizer: Callable[..., Optimizer],
        d_optimizer: Callable[..., Optimizer],
        ema: Callable[[nn.Module], EMA] | None = None,
        lr_schedule: Callable[[int], float] | None = None,
        beta2_schedule: Callable[[int], float] | None = None,
    ) -> None:
        """Set the networks and how they are trained.

        g_optimizer, d_optimizer: called with the parameters.
        ema: called with the generator, averages its weights; None for no average.
        lr_schedule: factor on both learning rates as a function of the samples seen; None keeps them constant.
        beta2_schedule: second beta of both Adam optimizers as a function of the samples seen; None keeps them constant.
        """
        self.generator, self.discriminator = generator, discriminator
        self.ema = ema(generator) if ema else None
        self._optimizer_factories = g_optimizer, d_optimizer
        self._lr_schedule, self._beta2_schedule = lr_schedule, beta2_schedule
        self._settings: list[dict[str, Any]] = []  # of the two optimizers

    def configure_optimizers(self) -> list[Optimizer]:
        g_optimizer, d_optimizer = self._optimizer_factories
        optimizers = [g_optimizer(self.generator.parameters()), d_optimizer(self.discriminator.parameters())]
        self._settings = [settings_of(optimizer) for optimizer in optimizers]
        return optimizers

    def set_rates(self, *optimizers: Any) -> None:
        """Set learning rates and second betas to the schedules' current values."""
        self.set_schedules(
            optimizers,
            self._settings,
            lr_factor=self._lr_schedule(self.samples_seen) if self._lr_schedule else None,
            beta2=self._beta2_schedule(self.samples_seen) if self._beta2_schedule else None,
        )

    def network(self, weights: str = "ema") -> nn.Module:
        """The generator."""
        return self.ema.network if self.ema and weights == "ema" else self.generator

    def networks(self) -> dict[str, nn.Module]:
        return {"generator": self.generator, "discriminator": self.discriminator}
