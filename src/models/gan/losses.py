"""Adversarial losses, each a pair of functions on logits [B] that return per-sample values [B].

`discriminator(real_logits, fake_logits)` and `generator(fake_logits, real_logits)`; D(x) = sigmoid(logits) is the probability
that x is real if the loss is a cross entropy; otherwise the logits are a score. Relativistic losses need both arguments, the
others ignore those that they do not need.
"""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor
from torch.nn.functional import relu, softplus

from src.parallel.collectives import mean_over_processes


class AdversarialLoss(NamedTuple):
    """A pair of losses, as `conf/loss/*.yaml` name it.

    relativistic: the generator's loss also uses real logits, which are then computed with the updated discriminator.
    """

    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor, Tensor], Tensor]
    relativistic: bool = False


def cross_entropy_discriminator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """-log D(x) - log(1 - D(G(z))): Goodfellow et al. 2014, eq. 1, to be minimised. softplus(t) = log(1 + e^t)."""
    return softplus(-real_logits) + softplus(fake_logits)


def minimax_generator(fake_logits: Tensor, real_logits: Tensor) -> Tensor:
    """log(1 - D(G(z))): Goodfellow et al. 2014, eq. 1. Its gradient vanishes if the discriminator is certain."""
    return -softplus(fake_logits)


def non_saturating_generator(fake_logits: Tensor, real_logits: Tensor) -> Tensor:
    """-log D(G(z)): Goodfellow et al. 2014, section 3, the same fixed point with strong gradients early on."""
    return softplus(-fake_logits)


def least_squares_discriminator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """(D(x) - 1)^2 / 2 + D(G(z))^2 / 2 on scores: Mao et al. 2017 (LSGAN), eq. 9."""
    return (real_logits - 1).square() / 2 + fake_logits.square() / 2


def least_squares_generator(fake_logits: Tensor, real_logits: Tensor) -> Tensor:
    """(D(G(z)) - 1)^2 / 2: Mao et al. 2017, eq. 9."""
    return (fake_logits - 1).square() / 2


def wasserstein_discriminator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """D(G(z)) - D(x): Arjovsky et al. 2017, eq. 2. It needs a bounded slope: clipped weights or a gradient penalty."""
    return fake_logits - real_logits


def wasserstein_generator(fake_logits: Tensor, real_logits: Tensor) -> Tensor:
    """-D(G(z)): Arjovsky et al. 2017, eq. 2. Also the generator's loss for the hinge loss."""
    return -fake_logits


def hinge_discriminator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """max(0, 1 - D(x)) + max(0, 1 + D(G(z))): Lim and Ye 2017; Miyato et al. 2018, eq. 16."""
    return relu(1 - real_logits) + relu(1 + fake_logits)


def relativistic_paired_discriminator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """-log sigmoid(D(x) - D(G(z))), pair by pair: Jolicoeur-Martineau 2018, section 4.1; Huang et al. 2024 (R3GAN), eq. 2."""
    return softplus(fake_logits - real_logits)


def relativistic_paired_generator(fake_logits: Tensor, real_logits: Tensor) -> Tensor:
    """-log sigmoid(D(G(z)) - D(x)): the same with the roles exchanged."""
    return softplus(real_logits - fake_logits)


def relativistic_average_discriminator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """-log sigmoid(D(x) - E D(G(z))) - log(1 - sigmoid(D(G(z)) - E D(x))): Jolicoeur-Martineau 2018, section 4.2.

    E is the mean over the batch, of all processes.
    """
    real_mean, fake_mean = mean_over_processes(real_logits.mean()), mean_over_processes(fake_logits.mean())
    return softplus(fake_mean - real_logits) + softplus(fake_logits - real_mean)


def relativistic_average_generator(fake_logits: Tensor, real_logits: Tensor) -> Tensor:
    """The same with the roles exchanged."""
    return relativistic_average_discriminator(fake_logits, real_logits)
