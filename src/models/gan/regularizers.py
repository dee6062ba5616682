"""Regularisation terms: pure functions of an update that return per-sample values [B], and how often they are applied.

Gradients are of the logits, not of their sigmoid, with respect to the discriminator's inputs, the augmented images.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.linalg import vector_norm
from torch.nn import functional as F

from src.parallel.collectives import from_all_processes, mean_over_processes, own_rows


class Update(NamedTuple):
    """The inputs of a term: the networks, and their results for one batch.

    z, y: latents [B, z_dim] and labels [B] of the fakes (and of the real images), y None without labels.
    real, fake: the discriminator's inputs [B, *shape]; fake has a graph to the generator in the generator's update only.
    real_logits, fake_logits: its outputs [B], with a graph to real and fake.
    samples_seen: the clock, for schedules.
    uniform: size -> numbers [B, size] in [0, 1) that belong to this term and step.
    """

    generator: nn.Module
    discriminator: nn.Module
    z: Tensor
    y: Tensor | None
    real: Tensor
    fake: Tensor
    real_logits: Tensor
    fake_logits: Tensor
    samples_seen: int = 0
    uniform: Callable[[int], Tensor] = torch.rand


class Penalty(nn.Module):
    """`weight * mean(function(update))`, added to a network's loss at every `every`-th step, `every` times as strong there.

    Lazy regularisation (Karras et al. 2020, StyleGAN2, section 3.1): its average over steps equals the term at every step.
    A module, so that a function's state (`LeCam`) is part of the checkpoint. Computed in float32 at any trainer precision.

    weight: a number, or a function of the samples seen.
    """

    def __init__(self, function: Callable[[Update], Tensor], weight: float | Callable[[int], float], every: int = 1) -> None:
        super().__init__()
        self.function, self.weight, self.every = function, weight, every

    def forward(self, update: Update) -> Tensor:
        weight = self.weight(update.samples_seen) if callable(self.weight) else self.weight
        with torch.autocast(update.real.device.type, enabled=False):
            return weight * self.every * self.function(update).mean()


def r1(update: Update) -> Tensor:
    """|grad_x D(x)|^2 / 2 at real images: `weight` is the paper's gamma (Mescheder et al. 2018, eq. 9)."""
    return gradient(update, update.real).square().sum(1) / 2


def r2(update: Update) -> Tensor:
    """|grad_x D(x)|^2 / 2 at generated images (Mescheder et al. 2018, eq. 10)."""
    return gradient(update, update.fake).square().sum(1) / 2


def r1_r2(update: Update) -> Tensor:
    """R1 + R2 with one weight, as in R3GAN, which has both at every step: from the logits that the loss already has.

    If these are in half precision, or have no graph to the images, new logits are computed.
    """
    logits = torch.cat([update.real_logits, update.fake_logits])  # [2 B]
    if logits.dtype != precise(logits).dtype or not (update.real.requires_grad and update.fake.requires_grad):
        return r1(update) + r2(update)
    real, fake = torch.autograd.grad(logits.sum(), (update.real, update.fake), create_graph=True)  # [B, *shape]
    return (real.flatten(1).square().sum(1) + fake.flatten(1).square().sum(1)) / 2


def wgan_gp(update: Update) -> Tensor:
    """(|grad_x D(x)| - 1)^2 between real and generated images (Gulrajani et al. 2017, eq. 3), with an epsilon for each pair."""
    return (vector_norm(gradient(update, between(update)), dim=1) - 1).square()


def zero_centred(update: Update) -> Tensor:
    """|grad_x D(x)|^2 between real and generated images (0-GP; Thanh-Tung et al. 2019, eq. 7)."""
    return gradient(update, between(update)).square().sum(1)


def dragan(update: Update, strength: float = 0.5) -> Tensor:
    """(|grad_x D(x)| - 1)^2 near real images x (Kodali et al. 2017, section 3): at x + u, u uniform within +-`strength` * std.

    std: standard deviation of all pixels of the batch, as in the authors' code; in contrast to it, u is centred at zero.
    """
    real = precise(update.real.detach())
    noise = update.uniform(real[0].numel()).view_as(real) * 2 - 1  # [B, *shape] in [-1, 1)
    variance = mean_over_processes((real - mean_over_processes(real.mean())).square().mean())
    return (vector_norm(gradient(update, real + strength * variance.sqrt() * noise), dim=1) - 1).square()


def between(update: Update) -> Tensor:
    """A point on the line from each generated image to its real one, [B, *shape]."""
    real, fake = precise(update.real.detach()), precise(update.fake.detach())
    epsilon = update.uniform(1).view(-1, *[1] * (real.dim() - 1))  # [B, 1, ...]
    return epsilon * real + (1 - epsilon) * fake


def gradient(update: Update, x: Tensor) -> Tensor:
    """grad_x D(x) at x [B, *shape], as [B, elements of x], with a graph."""
    x = precise(x.detach()).requires_grad_()
    logits = update.discriminator(x, update.y)  # [B]
    (found,) = torch.autograd.grad(logits.sum(), x, create_graph=True)  # [B, *shape]
    return found.flatten(1)


def precise(x: Tensor) -> Tensor:
    """x in float32 or better: half precision cannot represent the square of a gradient."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def auxiliary_real(update: Update) -> Tensor:
    """-log p(y|x) of real images by the discriminator's own classifier (Odena et al. 2017, eq. 3), for its loss."""
    return F.cross_entropy(classify(update, update.real), labels(update), reduction="none")


def auxiliary_fake(update: Update) -> Tensor:
    """-log p(y|G(z, y)) by the discriminator's own classifier (Odena et al. 2017, eq. 3), for either loss."""
    return F.cross_entropy(classify(update, update.fake), labels(update), reduction="none")


def classify(update: Update, x: Tensor) -> Tensor:
    if not hasattr(update.discriminator, "classify"):
        raise ValueError("this discriminator has no auxiliary classifier: give it one (auxiliary: true) or leave the term out")
    return update.discriminator.classify(precise(x))  # type: ignore[operator]


def labels(update: Update) -> Tensor:
    if update.y is None:
        raise ValueError("the data has no labels to classify: leave the auxiliary classifier out")
    return update.y


def matching_aware(update: Update, power: float = 6.0) -> Tensor:
    """(|grad_x D(x, s)| + |grad_s D(x, s)|)^power at real images x and the sentence vectors s of their captions.

    The matching-aware gradient penalty of DF-GAN (Tao et al. 2022, section 3.3, with power 6 and weight 2).
    """
    x = precise(update.real.detach()).requires_grad_()
    s = precise(update.discriminator.sentence(update.y).detach()).requires_grad_()  # type: ignore[operator]  # [B, P]
    logits = update.discriminator.judge(x, s)  # type: ignore[operator]  # [B]
    of_x, of_s = torch.autograd.grad(logits.sum(), (x, s), create_graph=True)
    return (vector_norm(of_x.flatten(1), dim=1) + vector_norm(of_s, dim=1)) ** power


def mismatched(update: Update) -> Tensor:
    """max(0, 1 + D(x, c)) of real images x and the captions c of the next samples (Tao et al. 2022, eq. 4)."""
    captions = labels(update)
    every = from_all_processes(captions.double()).flatten(0, 1).to(captions.dtype)  # [N, T], of all ranks
    others = every[(own_rows(len(captions), captions.device) + 1) % len(every)]
    return F.relu(1 + update.discriminator(precise(update.real.detach()), others))


class LeCam(nn.Module):
    """(D(x) - a_fake)^2 + (D(G(z)) - a_real)^2 with running means a of the logits (Tseng et al. 2021, eq. 6), for small data.

    decay: of the running means, at each use.
    """

    def __init__(self, decay: float = 0.99) -> None:
        super().__init__()
        self.decay = decay
        self.means: Tensor
        self.register_buffer("means", torch.zeros(2))  # of real and of fake logits

    def forward(self, update: Update) -> Tensor:
        real, fake = precise(update.real_logits), precise(update.fake_logits)  # [B]
        now = torch.stack([real.detach().mean(), fake.detach().mean()])
        self.means.lerp_(mean_over_processes(now).to(self.means), 1 - self.decay)
        return (real - self.means[1]).square() + (fake - self.means[0]).square()


@torch.no_grad()
def clip_weights(network: nn.Module, limit: float) -> None:
    """Clip weights to [-limit, limit] (Arjovsky et al. 2017, Algorithm 1): the constraint of the first Wasserstein GAN."""
    for parameter in network.parameters():
        parameter.clamp_(-limit, limit)
