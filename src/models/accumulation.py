"""Gradient accumulation: a GAN's update for batches that do not fit into the memory, part by part."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from src import rng
from src.losses.regularizers import Update
from src.spec import Batch

if TYPE_CHECKING:
    from src.models.gan import GAN


def update_in_parts(gan: GAN, batches: Sequence[Batch]) -> None:
    """`GAN.update` with each batch in `gan.parts` equal parts, whose gradients are averaged before a step is taken.

    Each part gets its slice of the batch's latents and numbers, so the update is that of the whole batch, but for what looks
    at several samples at once (batch norm, minibatch deviation, relativistic averages, LeCam) or moves at each forward pass
    (spectral norm): it meets the parts one by one. Fakes are made again for the generator: keeping those of the discriminator's
    update would keep all that this is to save.
    """
    g_optimizer, d_optimizer = gan.optimizers(use_pl_optimizer=False)  # type: ignore[misc]
    gan.set_schedules(g_optimizer, d_optimizer)
    rng.seed_layers(gan.seed, gan.step)
    images = sum(len(batch.x) for batch in batches) * gan.trainer.world_size
    real_seen: list[Tensor] = []  # the parts' logits
    fake_seen: list[Tensor] = []

    def discriminator_losses(k: int, batch: Batch) -> Iterator[Tensor]:
        real_seen.clear()
        for real, y in parts(gan, batch):
            z = gan.noise(len(real), k)
            with torch.no_grad():
                fake = gan.generator(z, y)
            real, fake = gan.view(real, f"real/{k}"), gan.view(fake, f"fake/{k}")
            real_logits, fake_logits = gan.compare(real, fake, y)
            real_seen.append(real_logits.detach())
            made = Update(gan.generator, gan.discriminator, z, y, real, fake, real_logits, fake_logits, gan.images_seen)
            yield gan.loss.discriminator(real_logits, fake_logits).mean() + gan.terms(gan.penalties, made, f"{k}")

    def generator_losses(k: int, batch: Batch) -> Iterator[Tensor]:
        for real, y in parts(gan, batch):
            z = gan.noise(len(real), k)
            fake, real = gan.view(gan.generator(z, y), "generator"), gan.view(real, f"real/{k}")
            real_logits = real_seen[gan.part]
            if gan.loss.relativistic:
                real_logits, fake_logits = gan.compare(real, fake, y)
            else:
                fake_logits = gan.discriminator(fake, y)
            fake_seen.append(fake_logits.detach())
            made = Update(gan.generator, gan.discriminator, z, y, real, fake, real_logits, fake_logits, gan.images_seen)
            yield gan.loss.generator(fake_logits, real_logits.detach()).mean() + gan.terms(gan.g_penalties, made, "generator")

    for k, batch in enumerate(batches):
        d_loss = descend(gan, discriminator_losses(k, batch), d_optimizer, gan.discriminator, "discriminator")
        if gan.constrain:
            gan.constrain(gan.discriminator)
        if gan.augment:
            gan.augment.observe(torch.cat(real_seen), images // gan.d_steps)
    g_loss = descend(gan, generator_losses(k, batch), g_optimizer, gan.generator, "generator")

    gan.step += 1
    gan.images_seen += images
    if gan.ema:
        gan.ema.update(gan.generator, images, gan.images_seen)
    gan._last = {"d_loss": d_loss, "g_loss": g_loss, "real_logits": torch.cat(real_seen), "fake_logits": torch.cat(fake_seen)}


def parts(gan: GAN, batch: Batch) -> Iterator[tuple[Tensor, Tensor | None]]:
    """The samples and labels of each part, `gan.part` saying which it is."""
    labels = [None] * gan.parts if batch.y is None else batch.y.chunk(gan.parts)
    for part, (real, y) in enumerate(zip(batch.x.chunk(gan.parts), labels, strict=True)):
        gan.part = part
        yield real, y
    gan.part = 0


def descend(gan: GAN, losses: Iterator[Tensor], optimizer: Any, network: nn.Module, name: str) -> Tensor:
    """One optimizer step by the mean of the parts' losses, which it returns; each is let go before the next is made.

    The parts are added in pairs, (0 + 1) + (2 + 3) and so on, as the processes are: then the same parts give the same sums,
    to the last bit, however many processes share them.
    """
    sums: list[list[Tensor]] = []  # of 1, 2, 4 ... parts, largest first: one for each 1 in the binary number of parts so far
    for number, loss in enumerate(losses, start=1):
        parameters = tuple(network.parameters())  # those of the forward pass just made: under FSDP others stood there before
        for parameter in parameters:
            parameter.grad = None
        (loss / gan.parts).backward(inputs=parameters)
        moved = [parameter for parameter in parameters if parameter.grad is not None]  # none where FSDP adds up by itself
        sums.append([loss.detach() / gan.parts, *(parameter.grad for parameter in moved)])  # type: ignore[list-item]
        while len(sums) > number.bit_count():
            add_last_two(sums)
    while len(sums) > 1:
        add_last_two(sums)
    mean, *gradients = sums.pop()
    for parameter, gradient in zip(moved, gradients, strict=True):
        parameter.grad = gradient
    gan.take_step(mean, optimizer, network, name)
    return mean


def add_last_two(sums: list[list[Tensor]]) -> None:
    """The last two become one."""
    last = sums.pop()
    torch._foreach_add_(sums[-1], last)
