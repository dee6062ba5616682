"""Adversarial losses, each a pair of functions on logits [B] that return per-sample values [B].

`discriminator(real_logits, fake_logits)` and `generator(fake_logits, real_logits)`; D(x) = sigmoid(logits) is the probability
that x is real. Relativistic losses need both arguments, the others ignore what they do not need.
"""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor
from torch.nn.functional import softplus


class AdversarialLoss(NamedTuple):
    """A pair of losses, as `conf/loss/*.yaml` name it."""

    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor, Tensor], Tensor]


def cross_entropy_discriminator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """-log D(x) - log(1 - D(G(z))): Goodfellow et al. 2014, eq. 1, to be minimised. softplus(t) = log(1 + e^t)."""
    return softplus(-real_logits) + softplus(fake_logits)


def minimax_generator(fake_logits: Tensor, real_logits: Tensor) -> Tensor:
    """log(1 - D(G(z))): Goodfellow et al. 2014, eq. 1. Its gradient vanishes where the discriminator is sure."""
    return -softplus(fake_logits)


def non_saturating_generator(fake_logits: Tensor, real_logits: Tensor) -> Tensor:
    """-log D(G(z)): Goodfellow et al. 2014, section 3, the same fixed point with strong gradients early on."""
    return softplus(-fake_logits)
