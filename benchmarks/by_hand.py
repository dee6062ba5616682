"""Training loops by hand, as an expert would write them: plain PyTorch, all data in memory, fused Adam, no logging.

The networks, optimizers and settings are those of the recipe; losses and updates are written out from the papers. GANs have a
loop of their own; the other rules differ in their loss only.
"""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks import ours
from benchmarks.timing import Clock
from src.config.experiment import Experiment
from src.data.vocabulary import PAD
from src.models.autoregressive import Autoregressive
from src.models.diffusion import Diffusion
from src.models.flow import Flow
from src.models.gan.gan import GAN
from src.models.gan.regularizers import Update
from src.models.model import OneLoss
from src.models.music_vae import MusicVAE
from src.models.vae import VAE
from src.networks.pixel_likelihoods import LOG_SCALE

Batches = Iterator[tuple[Tensor, Tensor | None]]


def by_hand(config: dict[str, Any], updates: int, warmup: int, half: bool = False) -> float:
    """Milliseconds per update of a loop by hand; half: under autocast to bfloat16."""
    model, clock = ours.build(config), Clock(warmup, updates)
    if isinstance(model, GAN):
        gan(model, batches(config), clock, bool(config["model"]["lr_schedule"]), half)
    else:
        one_loss(model, LOSSES[type(model)], batches(config), clock, bool(config["model"]["lr_schedule"]), half)
    return clock.milliseconds()


def gan(model: GAN, data: Batches, clock: Clock, decays: bool, half: bool) -> None:
    """Goodfellow et al. 2014, algorithm 1: fakes are shared by both updates, unused gradients are not computed."""
    g, d = model.generator, model.discriminator
    optimizers = g_optimizer, d_optimizer = model.configure_optimizers()
    average = copy.deepcopy(g).requires_grad_(False)
    for step in range(clock.total):
        if decays:
            decay(optimizers, step / clock.total)
        for _ in range(model.batches_per_update):
            real, y = next(data)
            z = torch.randn(len(real), model.z_dim)
            with autocast(half):
                fake = g(z, y)
                real_view, fake_view = view(model, real), view(model, fake.detach())
                real_logits, fake_logits = d(real_view, y), d(fake_view, y)
                d_loss = model.loss.discriminator(real_logits, fake_logits).mean()
                made = Update(g, d, z, y, real_view, fake_view, real_logits, fake_logits)
                d_loss = d_loss + sum(term(made) for term in model.penalties.values() if step % term.every == 0)
            d_optimizer.zero_grad()
            d_loss.backward()
            d_optimizer.step()
            if model.constrain:
                model.constrain(d)
        d.requires_grad_(False)
        with autocast(half):
            fake_view = view(model, fake)
            fake_logits = d(fake_view, y)
            if model.loss.relativistic:
                real_logits = d(real_view, y)
            g_loss = model.loss.generator(fake_logits, real_logits.detach()).mean()
            made = made._replace(fake=fake_view, fake_logits=fake_logits)
            g_loss = g_loss + sum(term(made) for term in model.g_penalties.values() if step % term.every == 0)
        g_optimizer.zero_grad()
        g_loss.backward()
        g_optimizer.step()
        d.requires_grad_(True)
        if model.ema:
            follow(average, g)
        clock.tick()


def one_loss(
    model: OneLoss, loss: Callable[[Any, Tensor, Tensor | None], Tensor], data: Batches, clock: Clock, decays: bool, half: bool
) -> None:
    """One network and one optimizer. loss: (model, x, y) to a scalar."""
    network = model.learner
    (optimizer,) = model.configure_optimizers()
    average = copy.deepcopy(network).requires_grad_(False)
    for step in range(clock.total):
        if decays:
            decay([optimizer], step / clock.total)
        x, y = next(data)
        with autocast(half):
            value = loss(model, x, y)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        if model.ema:
            follow(average, network)
        clock.tick()


# Losses: model, data x [B, ...] and classes y [B] or None to the mean loss


def vae(model: VAE, x: Tensor, y: Tensor | None) -> Tensor:
    """Kingma and Welling 2014, eq. 10, in nats per image, with pixels of 256 levels (Salimans et al. 2017, eq. 2)."""
    network: Any = model.learner
    mean, log_variance = network.encoder(x, y)
    z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
    location, log_scale = network.decoder.parameters_of(z, y).unbind(1)  # [B, C, H, W] each
    nats = -discretised_logistic(x, location, log_scale + LOG_SCALE)
    divergence = -0.5 * (1 + log_variance - mean**2 - log_variance.exp())
    return (nats.flatten(1).sum(1) + divergence.sum(1)).mean()


def autoregressive(model: Autoregressive, x: Tensor, y: Tensor | None) -> Tensor:
    """Bengio et al. 2003, eq. 1, in nats per symbol; pixels have a mixture of logistics (Salimans et al. 2017, eq. 2)."""
    network: Any = model.learner
    if model.spec.kind == "tokens":
        names, symbols = model.spec.x.names, x.flatten(1)
        numbers = network(symbols, y if "y" in network.conditions else None)
        return F.cross_entropy(numbers.flatten(0, 1), symbols.flatten(), ignore_index=names.index(PAD) if PAD in names else -1)
    numbers = network(x, y)
    weights, means, log_scales = numbers.chunk(3, dim=2)  # [B, T, K] each
    pixels = network.to_patches(x).flatten(1)[..., None]  # [B, T, 1]
    parts = discretised_logistic(pixels, means, log_scales.clamp(min=-7))
    return -(weights.log_softmax(2) + parts).logsumexp(2).mean()


def music_vae(model: MusicVAE, x: Tensor, y: Tensor | None) -> Tensor:
    """Roberts et al. 2018, section 2.1.1 with free bits (Kingma et al. 2016, eq. 15), in nats per piece, without classes."""
    network: Any = model.learner
    mean, log_variance = network.encoder(x)
    z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
    symbols = x.flatten(1)
    logits = network.decoder(symbols, z=z)
    nats = F.cross_entropy(logits.flatten(0, 1), symbols.flatten(), reduction="sum") / len(x)
    divergence = -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).mean(0)  # [z_dim]
    return nats + divergence.clamp(min=model.free_bits).sum()


def flow(model: Flow, x: Tensor, y: Tensor | None) -> Tensor:
    """Lipman et al. 2023, eq. 23 with straight paths from noise to dequantised data, without classes."""
    assert not any((model.classes, model.optimal_transport, model.time_std))
    x1, t = dequantised(x), torch.rand(len(x))
    x0, share = torch.randn_like(x1), t.view(-1, 1, 1, 1)
    return F.mse_loss(model.learner((1 - share) * x0 + share * x1, t), x1 - x0)


def diffusion(model: Diffusion, x: Tensor, y: Tensor | None) -> Tensor:
    """Karras et al. 2022, eq. 8 with table 1, for dequantised data without classes."""
    assert not model.classes
    data, x = model.sigma_data, dequantised(x)
    sigma = torch.exp(model.log_sigma_mean + model.log_sigma_std * torch.randn(len(x), 1, 1, 1))
    noisy, total = x + sigma * torch.randn_like(x), sigma**2 + data**2
    output = model.learner(noisy / total.sqrt(), sigma.flatten().log() / 4)
    denoised = data**2 / total * noisy + sigma * data / total.sqrt() * output
    return (total / (sigma * data) ** 2 * (denoised - x) ** 2).mean()


LOSSES: dict[type, Callable[[Any, Tensor, Tensor | None], Tensor]] = {
    VAE: vae,
    Autoregressive: autoregressive,
    MusicVAE: music_vae,
    Flow: flow,
    Diffusion: diffusion,
}


def discretised_logistic(x: Tensor, location: Tensor, log_scale: Tensor) -> Tensor:
    """log p of pixels in [-1, 1] of 256 levels, as in the code of PixelCNN++ (Salimans et al. 2017); shapes are broadcast."""
    precision = torch.exp(-log_scale)
    upper, lower = precision * (x - location + 1 / 255), precision * (x - location - 1 / 255)
    inside = (torch.sigmoid(upper) - torch.sigmoid(lower)).clamp(min=1e-12).log()
    return torch.where(x < -0.999, F.logsigmoid(upper), torch.where(x > 0.999, F.logsigmoid(-lower), inside))


def dequantised(x: Tensor) -> Tensor:
    """Pixels in [-1, 1] of 256 levels with uniform noise as wide as a level."""
    return x + (torch.rand_like(x) - 0.5) * (2 / 255)


# Parts of a loop, and of benchmarks.products


def decay(optimizers: list[Any], share: float) -> None:
    """The learning rates after this share of the updates, falling linearly to zero."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group.setdefault("initial_lr", group["lr"]) * (1 - share)


@torch.no_grad()
def follow(average: nn.Module, network: nn.Module) -> None:
    """Move averaged weights towards the network's; copy its buffers."""
    torch._foreach_lerp_(tuple(average.parameters()), tuple(network.parameters()), 0.01)
    for a, b in zip(average.buffers(), network.buffers(), strict=True):
        a.copy_(b)


def autocast(half: bool) -> torch.autocast:
    """Autocast to bfloat16 as in Lightning's bf16-mixed."""
    return torch.autocast("cpu", torch.bfloat16, enabled=half, cache_enabled=False)


def batches(config: dict[str, Any]) -> Batches:
    """Data [B, ...] in the model's format and their classes [B], None without classes; shuffled once, from memory."""
    dataset, batch = Experiment(config).dataset, config["data"]["batch_size"]
    split = dataset.split("train")
    order = torch.randperm(len(split))
    arrays = split.batch(np.arange(len(split)))
    data = dataset.spec.to_model({name: torch.from_numpy(part) for name, part in arrays.items()})
    x, y = data["x"], data.get("y")
    while True:
        for rows in order.split(batch)[: len(x) // batch]:
            yield x[rows], None if y is None else y[rows]


def view(model: GAN, images: Tensor) -> Tensor:
    """The discriminator's input: augmented images."""
    return model.augment(images, torch.rand(len(images), model.augment.draws)) if model.augment else images
