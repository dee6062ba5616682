"""Generative adversarial networks: Goodfellow et al. 2014, Algorithm 1, for any pair of networks and any adversarial loss."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from src.config.errors import Diverged
from src.data.spec import Batch, Spec
from src.models.augment import Augmentation
from src.models.gan.accumulation import update_in_parts
from src.models.gan.losses import AdversarialLoss
from src.models.gan.regularizers import Penalty, Update
from src.models.latent import LatentModel
from src.models.model import unstack
from src.parallel.collectives import average_over_processes, draw_rows, world_size
from src.training import rng
from src.training.ema import EMA

RUNNING = "running_mean", "running_var", "w_mean", "means"  # what buffers that average over batches are called


class GAN(LatentModel):
    """A generator and a discriminator that learn from each other.

    generator, discriminator: called with `spec=`; G maps (z [B, z_dim], y) to samples [B, *shape], D maps (x, y) to logits [B].
    loss: the pair of adversarial losses.
    g_optimizer, d_optimizer: called with the parameters.
    penalties, g_penalties: further terms of the discriminator's and of the generator's loss, each at its own interval.
    constrain: called with the discriminator after each of its updates, to clip its weights.
    augment: of the images that the discriminator sees; None shows them as they are.
    d_steps: discriminator updates (each on a new batch and new noise) for one of the generator.
    ema: called with the generator, averages its weights; None samples from the weights in training.
    lr_schedule: factor on both learning rates as a function of the images seen; None keeps them constant.
    beta2_schedule: Adam's second beta, of both, as a function of the images seen; None keeps them constant.
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
        g_penalties: Mapping[str, Penalty] | None = None,
        constrain: Callable[[nn.Module], None] | None = None,
        augment: Augmentation | None = None,
        d_steps: int = 1,
        ema: Callable[[nn.Module], EMA] | None = None,
        lr_schedule: Callable[[int], float] | None = None,
        beta2_schedule: Callable[[int], float] | None = None,
    ) -> None:
        super().__init__(spec, seed)
        if augment is not None and spec.kind != "image":
            raise ValueError(f"augmentations are for images and the data are {spec.kind}: take model.augment=null")
        self.loss, self.constrain, self.augment, self.d_steps = loss, constrain, augment, d_steps
        self.penalties, self.g_penalties = (
            nn.ModuleDict({name: term for name, term in (terms or {}).items() if term}) for terms in (penalties, g_penalties)
        )
        self.generator = generator(spec=spec)
        self.discriminator = discriminator(spec=spec)
        self.ema = ema(self.generator) if ema else None
        self._optimizer_factories = g_optimizer, d_optimizer
        self._lr_schedule, self._beta2_schedule = lr_schedule, beta2_schedule
        self._batch_dependent = any(
            isinstance(layer, nn.modules.batchnorm._BatchNorm) or getattr(layer, "batch_dependent", False)
            for layer in self.discriminator.modules()
        )
        self.parts = 1  # of a batch, where gradients are accumulated (src/models/gan/accumulation.py)
        self._settings: list[dict[str, Any]] = []  # of the two optimizers
        self._last: dict[str, Tensor] = {}

    def configure_optimizers(self) -> list[Optimizer]:
        g_optimizer, d_optimizer = self._optimizer_factories
        optimizers = [g_optimizer(self.generator.parameters()), d_optimizer(self.discriminator.parameters())]
        groups = [optimizer.param_groups[0] for optimizer in optimizers]
        self._settings = [{name: value for name, value in group.items() if name != "params"} for group in groups]
        return optimizers

    def training_step(self, block: Batch, optimizers: Sequence[Optimizer]) -> None:
        batches = unstack(block)  # d_steps of them for each update
        update = self.update if self.parts == 1 else partial(update_in_parts, self)
        for _ in range(len(block.x) // self.d_steps):
            update([next(batches) for _ in range(self.d_steps)], *optimizers)

    def update(self, batches: Sequence[Batch], g_optimizer: Optimizer, d_optimizer: Optimizer) -> None:
        """Algorithm 1: `d_steps` updates of the discriminator, each on its own batch, then one of the generator."""
        self.set_schedules(g_optimizer, d_optimizer)
        images = sum(len(batch.x) for batch in batches) * world_size()

        for k, (real, y, _) in enumerate(batches):
            rng.seed_layers(self.seed, self.step, k)
            z = self.noise(len(real), k)
            with torch.set_grad_enabled(k == len(batches) - 1):  # the generator learns from the last fakes alone
                fake = self.generator(z, y)
            real_seen, fake_seen = self.view(real, f"real/{k}"), self.view(fake.detach(), f"fake/{k}")
            real_logits, fake_logits = self.compare(real_seen, fake_seen, y)
            made = Update(
                self.generator, self.discriminator, z, y, real_seen, fake_seen, real_logits, fake_logits, self.images_seen
            )
            d_loss = self.loss.discriminator(real_logits, fake_logits).mean() + self.terms(self.penalties, made, f"{k}")
            self.descend(d_loss, d_optimizer, self.discriminator, "discriminator")
            if self.constrain:
                self.constrain(self.discriminator)
            if self.augment:
                self.augment.observe(real_logits.detach(), images // self.d_steps)

        # The last fakes serve twice: the discriminator has just moved, they are as good as new ones.
        fake_seen = self.view(fake, "generator")
        if self.loss.relativistic:
            real_logits, fake_logits = self.compare(real_seen, fake_seen, y)
        else:
            fake_logits = self.discriminator(fake_seen, y)
        made = made._replace(fake=fake_seen, fake_logits=fake_logits)
        g_loss = self.loss.generator(fake_logits, real_logits.detach()).mean() + self.terms(self.g_penalties, made, "generator")
        self.descend(g_loss, g_optimizer, self.generator, "generator")

        self.step += 1
        self.images_seen += images
        if self.ema:
            self.ema.update(self.generator, images, self.images_seen)
        self._last = {"d_loss": d_loss, "g_loss": g_loss, "real_logits": real_logits, "fake_logits": fake_logits}

    def terms(self, penalties: nn.ModuleDict, made: Update, stream: str) -> Tensor | float:
        """The sum of the penalties that are due at this step."""
        total: Tensor | float = 0.0
        for name, penalty in penalties.items():
            if self.step % penalty.every == 0:  # type: ignore[operator]
                uniform = partial(self.draw, torch.rand, len(made.real), stream=f"penalty/{name}/{stream}")
                total = total + penalty(made._replace(uniform=uniform))
        return total

    def descend(self, loss: Tensor, optimizer: Any, network: nn.Module, name: str) -> None:
        """One optimizer step by the gradient of a loss."""
        parameters = tuple(parameter for parameter in network.parameters() if parameter.requires_grad)
        for parameter in parameters:
            parameter.grad = None
        # `inputs` spares the gradients of the other network's weights, which nobody would use. Not `manual_backward`: its hooks
        # take a twentieth of a small step.
        loss.backward(inputs=parameters)
        self.take_step(loss, optimizer, network, name)

    def take_step(self, loss: Tensor, optimizer: Any, network: nn.Module, name: str) -> None:
        """Where the gradients are there; a loss that is not finite stops the run before it can touch the weights."""
        if world_size() > 1:
            self.average(loss, network)
        if not math.isfinite(loss.item()):
            raise Diverged(
                f"the {name}'s loss is {loss.item()} at step {self.step}: training has diverged and was stopped before the "
                "update (lower the learning rates or raise the penalty, in a new run)"
            )
        optimizer.step()

    def average(self, loss: Tensor, network: nn.Module) -> None:
        """Over all processes, in place: what each has found for its slice of the batch becomes that of the whole.

        With the generator, whose backward pass is an update's last, also the running statistics: then all processes hold the
        same model again.
        """
        found = [loss.detach(), *(parameter.grad for parameter in network.parameters() if parameter.grad is not None)]
        if network is self.generator:
            found += self.statistics()
        average_over_processes(found)

    def statistics(self) -> list[Tensor]:
        """Running means of what the networks and penalties have met here, in this process's batches or parts of them."""
        modules = self.generator, self.discriminator, self.penalties, self.g_penalties
        return [buffer for module in modules for name, buffer in module.named_buffers() if name.endswith(RUNNING)]

    def set_schedules(self, *optimizers: Any) -> None:
        """Learning rates and all other settings: those asked for, not those of a checkpoint, as they are due by now."""
        for optimizer, settings in zip(optimizers, self._settings, strict=True):
            due = dict(settings)
            if self._lr_schedule:
                due["lr"] *= self._lr_schedule(self.images_seen)
            if self._beta2_schedule:
                due["betas"] = (due["betas"][0], self._beta2_schedule(self.images_seen))
            for group in optimizer.param_groups:
                group.update(due)

    def draw(self, distribution: Callable[..., Tensor], batch: int, size: int, stream: str) -> Tensor:
        """Random numbers [B, size] of this step: the rows here of those for the global batch."""
        return draw_rows(distribution, (batch, size), generator=rng.generator(self.seed, stream, self.step)).to(self.device)

    def noise(self, batch: int, k: int) -> Tensor:
        """Latents [B, z_dim] from N(0, I) for discriminator update k of this step."""
        return self.draw(torch.randn, batch, self.z_dim, f"latent/{k}")

    def view(self, x: Tensor, stream: str) -> Tensor:
        """What the discriminator sees of samples [B, *shape]; a penalty may ask for the slope of the logits there."""
        if self.augment is not None:
            x = self.augment(x, self.draw(torch.rand, len(x), self.augment.draws, f"augment/{stream}"))
        return x.requires_grad_()

    def compare(self, real: Tensor, fake: Tensor, y: Tensor | None) -> tuple[Tensor, Tensor]:
        """Logits [B] of real and of fake samples: in one batch of 2 B where D treats each sample by itself, which is faster."""
        if self._batch_dependent:
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
            **(self.augment.scalars() if self.augment else {}),
        }

    def sampler(self, weights: str = "ema") -> nn.Module:
        return self.ema.network if self.ema and weights == "ema" else self.generator
