"""Penalties on the discriminator: pure functions with per-sample values [B], and how often they are applied."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

Discriminator = Callable[[Tensor, Tensor | None], Tensor]


class Penalty(NamedTuple):
    """`weight * function(...)`, added to the discriminator's loss at every `every`-th step and `every` times as strong there.

    Lazy regularisation (Karras et al. 2020, StyleGAN2, section 3.1): the expectation is that of the penalty at every step.
    """

    function: Callable[[Discriminator, Tensor, Tensor, Tensor | None], Tensor]
    weight: float
    every: int = 1

    def __call__(self, discriminator: Discriminator, real: Tensor, fake: Tensor, y: Tensor | None) -> Tensor:
        return self.weight * self.every * self.function(discriminator, real, fake, y).mean()


def r1(discriminator: Discriminator, real: Tensor, fake: Tensor, y: Tensor | None = None) -> Tensor:
    """|grad_x D(x)|^2 / 2 at real images, on logits, so that `weight` is the paper's gamma (Mescheder et al. 2018, eq. 9)."""
    real = real.detach().requires_grad_()
    logits = discriminator(real, y)  # [B]
    (gradient,) = torch.autograd.grad(logits.sum(), real, create_graph=True)  # [B, *shape]
    return gradient.square().flatten(1).sum(1) / 2
