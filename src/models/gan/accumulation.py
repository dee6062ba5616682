"""Gradient accumulation: a GAN's update for batches that do not fit into the memory, part by part."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from src.data.spec import Batch
from src.models.gan.regularizers import Update
from src.parallel.collectives import only, world_size
from src.training import rng

if TYPE_CHECKING:
    from src.models.gan.gan import GAN


def update_in_parts(gan: GAN, batches: Sequence[Batch], g_optimizer: Optimizer, d_optimizer: Optimizer) -> None:
    """`GAN.update` with each batch in `gan.parts` equal parts, whose gradients are averaged before a step is taken.

    Each part gets its rows of the batch's random numbers, and finds the networks as the first one did, so the update is that of
    the whole batch, but for what looks at several samples at once (batch norm, minibatch deviation, relativistic averages,
    LeCam, DRAGAN). Fakes are made again for the generator: keeping those of the discriminator's update would keep all that this
    is to save.
    """
    gan.set_schedules(g_optimizer, d_optimizer)
    images = sum(len(batch.x) for batch in batches) * world_size()
    reals: list[tuple[Tensor, Tensor]] = []  # what the discriminator has seen of each part, and the logits
    fakes: list[Tensor] = []  # logits

    def discriminator_loss(k: int, real: Tensor, y: Tensor | None) -> Tensor:
        z = gan.noise(len(real), k)
        with torch.no_grad():
            fake = gan.generator(z, y)
        real, fake = gan.view(real, f"real/{k}"), gan.view(fake, f"fake/{k}")
        real_logits, fake_logits = gan.compare(real, fake, y)
        reals.append((real, real_logits.detach()))
        made = Update(gan.generator, gan.discriminator, z, y, real, fake, real_logits, fake_logits, gan.images_seen)
        return gan.loss.discriminator(real_logits, fake_logits).mean() + gan.terms(gan.penalties, made, f"{k}")

    def generator_loss(k: int, real: Tensor, y: Tensor | None) -> Tensor:
        z = gan.noise(len(real), k)
        fake = gan.view(gan.generator(z, y), "generator")
        real, real_logits = reals[len(fakes)]
        if gan.loss.relativistic:
            real_logits, fake_logits = gan.compare(real, fake, y)
        else:
            fake_logits = gan.discriminator(fake, y)
        fakes.append(fake_logits.detach())
        made = Update(gan.generator, gan.discriminator, z, y, real, fake, real_logits, fake_logits, gan.images_seen)
        return gan.loss.generator(fake_logits, real_logits.detach()).mean() + gan.terms(gan.g_penalties, made, "generator")

    for k, batch in enumerate(batches):
        reals.clear()
        as_before = snapshot(gan.generator)
        d_loss = descend(gan, batch, k, discriminator_loss, d_optimizer, gan.discriminator, "discriminator")
        if gan.constrain:
            gan.constrain(gan.discriminator)
        if gan.augment:
            gan.augment.observe(torch.cat([logits for _, logits in reals]), images // gan.d_steps)
    as_before()  # it makes the same fakes again, which count once
    g_loss = descend(gan, batch, k, generator_loss, g_optimizer, gan.generator, "generator")

    gan.step += 1
    gan.images_seen += images
    if gan.ema:
        gan.ema.update(gan.generator, images, gan.images_seen)
    real_logits = torch.cat([logits for _, logits in reals])
    gan._last = {"d_loss": d_loss, "g_loss": g_loss, "real_logits": real_logits, "fake_logits": torch.cat(fakes)}


def descend(
    gan: GAN, batch: Batch, k: int, loss_of: Callable[..., Tensor], optimizer: Any, network: nn.Module, name: str
) -> Tensor:
    """One optimizer step by the mean of the parts' losses, which it returns; each is let go before the next is made.

    loss_of: called with k and a part's samples and labels.
    The parts are added in pairs, (0 + 1) + (2 + 3) and so on, as the processes are: then the same parts give the same sums,
    to the last bit, however many processes share them.
    """
    put_back = snapshot(gan)
    statistics = gan.statistics()
    labels = [None] * gan.parts if batch.y is None else batch.y.chunk(gan.parts)
    sums: list[list[Tensor]] = []  # of 1, 2, 4 ... parts, largest first: one for each 1 in the binary number of parts so far
    for part, (real, y) in enumerate(zip(batch.x.chunk(gan.parts), labels, strict=True)):
        put_back()
        rng.seed_layers(gan.seed, gan.step, k)
        with only(part, gan.parts):
            loss = loss_of(k, real, y) / gan.parts
        # Those of the forward pass just made: under FSDP others stood there before.
        parameters = tuple(parameter for parameter in network.parameters() if parameter.requires_grad)
        for parameter in parameters:
            parameter.grad = None
        loss.backward(inputs=parameters)
        learning = [parameter for parameter in parameters if parameter.grad is not None]  # none where FSDP adds up by itself
        gradients = [parameter.grad for parameter in learning]
        sums.append([loss.detach(), *gradients, *(statistic / gan.parts for statistic in statistics)])  # type: ignore[list-item]
        while len(sums) > (part + 1).bit_count():
            add_last_two(sums)
    while len(sums) > 1:
        add_last_two(sums)
    mean, *means = sums.pop()
    for parameter, gradient in zip(learning, means[: len(learning)], strict=True):
        parameter.grad = gradient
    for statistic, moved in zip(statistics, means[len(learning) :], strict=True):
        statistic.copy_(moved)
    gan.take_step(mean, optimizer, network, name)
    return mean


def add_last_two(sums: list[list[Tensor]]) -> None:
    """The last two become one."""
    last = sums.pop()
    torch._foreach_add_(sums[-1], last)


def snapshot(module: nn.Module) -> Callable[[], None]:
    """What puts a module's buffers back to where they are now."""
    kept = [(buffer, buffer.clone()) for buffer in module.buffers()]

    def put_back() -> None:
        for buffer, value in kept:
            buffer.copy_(value)

    return put_back
