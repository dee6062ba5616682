"""Generative adversarial networks: Goodfellow et al. 2014, Algorithm 1, for any pair of networks and any adversarial loss."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from src.data.spec import Batch, Spec
from src.models.adversarial import Adversarial
from src.models.augment import Augmentation
from src.models.gan.losses import AdversarialLoss
from src.models.gan.regularizers import Penalty, Update
from src.models.latent import LatentModel
from src.parallel.collectives import world_size
from src.training import rng
from src.training.ema import EMA

PROBE = 4  # samples

RUNNING = "running_mean", "running_var", "w_mean", "means"  # names of buffers that average over batches


class GAN(Adversarial, LatentModel):
    """A generator and a discriminator that are trained against each other.

    generator, discriminator: called with `spec=`; G maps (z [B, z_dim], y) to samples [B, *shape], D maps (x, y) to logits [B].
    loss: the pair of adversarial losses.
    g_optimizer, d_optimizer: called with the parameters.
    penalties, g_penalties: further terms of the discriminator's and of the generator's loss, each at its own interval.
    constrain: called with the discriminator after each of its updates, to clip its weights.
    augment: applied to the discriminator's images, real and generated; None for none.
    d_steps: discriminator updates (each on a new batch and new noise) for one of the generator.
    ema: called with the generator, averages its weights; None samples from the weights in training.
    lr_schedule: factor on both learning rates as a function of the samples seen; None keeps them constant.
    beta2_schedule: second beta of both Adam optimizers as a function of the samples seen; None keeps them constant.
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
        self.loss, self.constrain, self.augment, self.batches_per_update = loss, constrain, augment, d_steps
        self.penalties, self.g_penalties = (
            nn.ModuleDict({name: term for name, term in (terms or {}).items() if term}) for terms in (penalties, g_penalties)
        )
        networks = generator(spec=spec), discriminator(spec=spec)
        self.set_networks(*networks, g_optimizer, d_optimizer, ema, lr_schedule, beta2_schedule)
        self._batch_dependent = any(
            isinstance(layer, nn.modules.batchnorm._BatchNorm) or getattr(layer, "batch_dependent", False)
            for layer in self.discriminator.modules()
        )
        self._last: dict[str, Tensor] = {}

    def check_parts(self) -> None:
        """See Model: a conditional generator needs a discriminator, or a penalty of its own, that looks at the class."""
        teaching = [term for term in self.g_penalties.values() if not getattr(term.function, "ignores_class", False)]
        if not self.classes or teaching or reads_class(self.discriminator, self.spec):
            return
        raise ValueError(
            f"{type(self.generator).__name__} draws the class that it is given and {type(self.discriminator).__name__} ignores "
            "classes, so that nothing teaches which is which: take model.discriminator.conditional=true or another "
            "discriminator, or a generator without classes"
        )

    def update(self, batches: Sequence[Batch], g_optimizer: Any, d_optimizer: Any) -> None:
        """Algorithm 1: `d_steps` updates of the discriminator, each on its own batch, then one of the generator."""
        self.set_rates(g_optimizer, d_optimizer)
        for k, batch in enumerate(batches):
            real, y = batch["x"], batch.get(self.condition_field)
            rng.seed_layers(self.seed, self.step, k)
            z = self.noise(len(real), k)
            with torch.set_grad_enabled(k == len(batches) - 1):  # the generator is trained on the last fakes only
                fake = self.generator(z, y)
            real_seen, fake_seen = self.view(real, f"real/{k}"), self.view(fake.detach(), f"fake/{k}")
            real_logits, fake_logits = self.compare(real_seen, fake_seen, y)
            made = Update(
                self.generator, self.discriminator, z, y, real_seen, fake_seen, real_logits, fake_logits, self.samples_seen
            )
            d_loss = self.loss.discriminator(real_logits, fake_logits).mean() + self.terms(self.penalties, made, f"{k}")
            self.descend(d_loss, d_optimizer, self.discriminator)
            if self.constrain:
                self.constrain(self.discriminator)
            if self.augment:
                self.augment.observe(real_logits.detach(), len(real) * world_size())

        # The last fakes are used again: the discriminator has changed since, so they are as good as new ones.
        fake_seen = self.view(fake, "generator")
        if self.loss.relativistic:
            real_logits, fake_logits = self.compare(real_seen, fake_seen, y)
        else:
            fake_logits = self.discriminator(fake_seen, y)
        made = made._replace(fake=fake_seen, fake_logits=fake_logits)
        g_loss = self.loss.generator(fake_logits, real_logits.detach()).mean() + self.terms(self.g_penalties, made, "generator")
        self.descend(g_loss, g_optimizer, self.generator, self.statistics())

        samples = self.count(batches)
        if self.ema:
            self.ema.update(self.generator, samples, self.samples_seen)
        self._last = {"d_loss": d_loss, "g_loss": g_loss, "real_logits": real_logits, "fake_logits": fake_logits}

    def terms(self, penalties: nn.ModuleDict, made: Update, stream: str) -> Tensor | float:
        """The sum of the penalties that are due at this step."""
        total: Tensor | float = 0.0
        for name, penalty in penalties.items():
            if self.step % penalty.every == 0:  # type: ignore[operator]
                uniform = partial(self.draw, torch.rand, len(made.real), stream=f"penalty/{name}/{stream}")
                total = total + penalty(made._replace(uniform=uniform))
        return total

    def statistics(self) -> list[Tensor]:
        """Buffers that average over batches; they differ between ranks, which see different parts of a batch."""
        modules = self.generator, self.discriminator, self.penalties, self.g_penalties
        return [buffer for module in modules for name, buffer in module.named_buffers() if name.endswith(RUNNING)]

    def noise(self, batch: int, k: int) -> Tensor:
        """Latents [B, z_dim] from N(0, I) for discriminator update k of this step."""
        return self.draw(torch.randn, batch, self.z_dim, f"latent/{k}")

    def view(self, x: Tensor, stream: str) -> Tensor:
        """The discriminator's input for samples [B, *shape]: augmented, and with gradients, which penalties need."""
        if self.augment is not None:
            x = self.augment(x, self.draw(torch.rand, len(x), self.augment.draws, f"augment/{stream}"))
        return x.requires_grad_()

    def compare(self, real: Tensor, fake: Tensor, y: Tensor | None) -> tuple[Tensor, Tensor]:
        """Logits [B] of real and of fake samples: in one batch of 2 B, which is faster, unless D uses batch statistics."""
        if self._batch_dependent:
            return self.discriminator(real, y), self.discriminator(fake, y)
        logits = self.discriminator(torch.cat([real, fake]), None if y is None else torch.cat([y, y]))
        return logits.chunk(2)

    def scalars(self) -> dict[str, float]:
        """Values of the last update: both losses; D(x) = sigmoid(logit) on real images and, one D update later, on fakes.

        Empty before the first update of this process.
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

    def discriminate(self, batch: Batch) -> Tensor:
        return self.discriminator(batch["x"], batch.get(self.condition_field))


@torch.no_grad()
def reads_class(discriminator: nn.Module, spec: Spec) -> bool:
    """Whether a discriminator looks at the class at all; its state stays as it is."""
    used = []

    class Class(Tensor):
        @classmethod
        def __torch_function__(cls, *args: Any, **kwargs: Any) -> Any:
            used.append(True)
            return super().__torch_function__(*args, **kwargs)

    training = discriminator.training
    discriminator.eval()(torch.zeros(PROBE, *spec.shape), torch.zeros(PROBE, dtype=torch.int64).as_subclass(Class))
    discriminator.train(training)
    return bool(used)
