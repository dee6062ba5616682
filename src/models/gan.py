"""Generative adversarial networks: Goodfellow et al. 2014, Algorithm 1, for any pair of networks and any adversarial loss."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer

from src import rng
from src.augment import Augmentation
from src.ema import EMA
from src.errors import Diverged
from src.losses.adversarial import AdversarialLoss
from src.losses.regularizers import Penalty
from src.models.model import Model, unstack
from src.spec import Batch, Spec

SAMPLE_BATCH = 128  # sampling always runs batches of this size: the last bits of a matrix product depend on its shape


class GAN(Model):
    """A generator and a discriminator that learn from each other.

    generator, discriminator: called with `spec=`; G maps (z [B, z_dim], y) to samples [B, *shape], D maps (x, y) to logits [B].
    loss: the pair of adversarial losses.
    g_optimizer, d_optimizer: called with the parameters.
    penalties: terms of the discriminator's loss by name, each applied at its own interval.
    augment: of the images that the discriminator sees; None shows them as they are.
    d_steps: discriminator updates (each on a new batch and new noise) for one of the generator.
    ema: called with the generator, averages its weights; None samples from the weights in training.
    lr_schedule: factor on both learning rates as a function of the images seen; None keeps them constant.
    """

    def __init__(
        self,
        spec: Spec,
        seed: int,
        generator: Callable[..., nn.Module],
        discriminator: Callable[..., nn.Module],
        loss: AdversarialLoss,
        g_optimizer: Callable[..., Optimizer],
        d_optimizer: Callable[..., Optimizer],
        penalties: Mapping[str, Penalty] | None = None,
        augment: Augmentation | None = None,
        d_steps: int = 1,
        ema: Callable[[nn.Module], EMA] | None = None,
        lr_schedule: Callable[[int], float] | None = None,
    ) -> None:
        super().__init__(spec, seed)
        self.loss, self.penalties, self.augment, self.d_steps = loss, dict(penalties or {}), augment, d_steps
        self.generator = generator(spec=spec)
        self.discriminator = discriminator(spec=spec)
        self.z_dim: int = self.generator.z_dim  # type: ignore[assignment]
        self.ema = ema(self.generator) if ema else None
        self._optimizer_factories = g_optimizer, d_optimizer
        self._lr_schedule = lr_schedule
        self._batch_statistics = any(
            isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in self.discriminator.modules()
        )
        self._last: dict[str, Tensor] = {}

    def configure_optimizers(self) -> list[Optimizer]:
        g_optimizer, d_optimizer = self._optimizer_factories
        return [g_optimizer(self.generator.parameters()), d_optimizer(self.discriminator.parameters())]

    def training_step(self, block: Batch, index: int) -> None:
        """A block [updates * d_steps, B, ...] of batches: several updates to one call keep Lightning's overhead small."""
        batches = unstack(block)
        for _ in range(len(block.x) // self.d_steps):
            self.update([next(batches) for _ in range(self.d_steps)])

    def update(self, batches: Sequence[Batch]) -> None:
        """Algorithm 1: `d_steps` updates of the discriminator, each on its own batch, then one of the generator."""
        g_optimizer, d_optimizer = self.optimizers(use_pl_optimizer=False)  # type: ignore[misc]
        self.set_learning_rates(g_optimizer, d_optimizer)
        rng.seed_layers(self.seed, self.step, self.global_rank)

        for k, (real, y, _) in enumerate(batches):
            fake = self.generator(self.noise(len(real), k), y)
            real_seen, fake_seen = self.view(real, f"real/{k}"), self.view(fake.detach(), f"fake/{k}")
            real_logits, fake_logits = self.compare(real_seen, fake_seen, y)
            d_loss = self.loss.discriminator(real_logits, fake_logits).mean()
            for penalty in self.penalties.values():
                if self.step % penalty.every == 0:
                    d_loss = d_loss + penalty(self.discriminator, real_seen, fake_seen, y)
            self.descend(d_loss, d_optimizer, self.discriminator, "discriminator")

        # The last fakes serve twice: the discriminator has just moved, they are as good as new ones.
        fake_logits = self.discriminator(self.view(fake, "generator"), y)
        g_loss = self.loss.generator(fake_logits, real_logits.detach()).mean()
        self.descend(g_loss, g_optimizer, self.generator, "generator")

        self.step += 1
        images = sum(len(batch.x) for batch in batches) * self.trainer.world_size
        self.images_seen += images
        if self.ema:
            self.ema.update(self.generator, images, self.images_seen)
        self._last = {"d_loss": d_loss, "g_loss": g_loss, "real_logits": real_logits, "fake_logits": fake_logits}

    def descend(self, loss: Tensor, optimizer: Any, network: nn.Module, name: str) -> None:
        """One optimizer step; a loss that is not finite stops the run before it can touch the weights."""
        if not math.isfinite(loss.item()):
            raise Diverged(
                f"the {name}'s loss is {loss.item()} at step {self.step}: training has diverged and was stopped before the "
                "update (lower the learning rates or raise the penalty, in a new run)"
            )
        parameters = tuple(network.parameters())
        for parameter in parameters:
            parameter.grad = None
        # `inputs` spares the gradients of the other network's weights, which nobody would use. Not `manual_backward`: only
        # several processes need it, and its hooks take a twentieth of a small step.
        loss.backward(inputs=parameters)
        optimizer.step()

    def set_learning_rates(self, *optimizers: Any) -> None:
        if self._lr_schedule:
            factor = self._lr_schedule(self.images_seen)
            for optimizer in optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = group.setdefault("initial_lr", group["lr"]) * factor

    def draw(self, distribution: Callable[..., Tensor], batch: int, size: int, stream: str) -> Tensor:
        """Random numbers [B, size] of this step: this rank's slice of those for the global batch."""
        random = rng.generator(self.seed, stream, self.step)
        numbers = distribution(batch * self.trainer.world_size, size, generator=random)
        return numbers[self.global_rank * batch :][:batch].to(self.device)

    def noise(self, batch: int, k: int) -> Tensor:
        """Latents [B, z_dim] from N(0, I) for discriminator update k of this step."""
        return self.draw(torch.randn, batch, self.z_dim, f"latent/{k}")

    def view(self, x: Tensor, stream: str) -> Tensor:
        """What the discriminator sees of samples [B, *shape]."""
        if self.augment is None:
            return x
        return self.augment(x, self.draw(torch.rand, len(x), self.augment.draws, f"augment/{stream}"))

    def compare(self, real: Tensor, fake: Tensor, y: Tensor | None) -> tuple[Tensor, Tensor]:
        """Logits [B] of real and of fake samples: in one batch of 2 B where D treats each sample by itself, which is faster."""
        if self._batch_statistics:
            return self.discriminator(real, y), self.discriminator(fake, y)
        logits = self.discriminator(torch.cat([real, fake]), None if y is None else torch.cat([y, y]))
        return logits.chunk(2)

    def scalars(self) -> dict[str, float]:
        """What the last update measured: both losses, D(x) = sigmoid(logit) on real images and, an update later, on fakes.

        Empty before the first update of a sitting.
        """
        if not self._last:
            return {}
        last = {name: value.detach() for name, value in self._last.items()}
        return {
            "loss/discriminator": last["d_loss"].item(),
            "loss/generator": last["g_loss"].item(),
            "D/real": last["real_logits"].sigmoid().mean().item(),
            "D/fake": last["fake_logits"].sigmoid().mean().item(),
        }

    def sampler(self, weights: str = "ema") -> nn.Module:
        return self.ema.network if self.ema and weights == "ema" else self.generator

    def sample(self, seeds: Sequence[int], y: Tensor | None = None, weights: str = "ema") -> Tensor:
        return self.decode(rng.normal_per_seed(seeds, self.z_dim), y, weights)

    @torch.no_grad()
    def decode(self, z: Tensor, y: Tensor | None = None, weights: str = "ema") -> Tensor:
        """Latents [N, z_dim] to samples [N, *spec.shape] on the CPU, in evaluation mode and batches of SAMPLE_BATCH."""
        network = self.sampler(weights)
        was_training, _ = network.training, network.eval()
        samples = []
        for start in range(0, len(z), SAMPLE_BATCH):
            rows = slice(start, start + SAMPLE_BATCH)
            size = len(z[rows])
            z_batch = functional.pad(z[rows], (0, 0, 0, SAMPLE_BATCH - size)).to(self.device)
            y_batch = None if y is None else functional.pad(y[rows], (0, SAMPLE_BATCH - size)).to(self.device)
            samples.append(network(z_batch, y_batch)[:size].cpu())
        network.train(was_training)
        return torch.cat(samples) if samples else torch.empty(0)

    def interpolate(self, rows: int, steps: int, seed: int, weights: str = "ema") -> Tensor:
        """Samples [rows, steps, *spec.shape] between the latents of seeds (seed, seed + 1), (seed + 2, seed + 3), ...

        Along the great circle: a straight line would leave the shell where N(0, I) latents lie (White 2016).
        """
        a, b = rng.normal_per_seed(range(seed, seed + 2 * rows), self.z_dim).unflatten(0, (rows, 2)).unbind(1)
        angle = torch.acos(functional.cosine_similarity(a, b))[:, None, None]  # [rows, 1, 1]
        t = torch.linspace(0, 1, steps)[None, :, None]
        z = (torch.sin((1 - t) * angle) * a[:, None] + torch.sin(t * angle) * b[:, None]) / torch.sin(angle)
        return self.decode(z.flatten(0, 1), weights=weights).unflatten(0, (rows, steps))

    def example_inputs(self) -> tuple[Tensor, ...]:
        return (torch.zeros(1, self.z_dim),)
