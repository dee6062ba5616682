"""What the rules share that make pictures of pictures: samples of sources, and the parts of adversarial training."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from src.data.spec import Batch, Spec
from src.models.adversarial import Adversarial
from src.models.gan.losses import AdversarialLoss
from src.models.latent import normal_per_seed
from src.models.model import Model, evaluating
from src.training.ema import EMA

SAMPLE_BATCH = 8  # pictures are translated in batches of this size: the last bits of a convolution depend on its shape


class Translation(Model):
    """`generator_of(weights)` maps sources [B, C_s, H, W] to pictures [B, *spec.shape], both in [-1, 1].

    A generator with a latent has the attribute `z_dim`, and takes z [B, z_dim] from N(0, I) after its other inputs.
    """

    inputs: tuple[str, ...] = ("source",)  # conditions that the generator takes, in order

    def generator_of(self, weights: str = "ema") -> nn.Module:
        """See Exports: the network that translates, `network` or a part of it."""
        return self.network(weights)

    @property
    def z_dim(self) -> int:
        """Size of the latent; 0 if the sample is a function of its source alone."""
        return getattr(self.generator_of(), "z_dim", 0)

    def conditions(self, seeds: Sequence[int]) -> Batch:
        """See Samples: white pictures, {"source": [N, C_s, H, W]}."""
        return {"source": torch.ones(len(seeds), *self.spec.fields["source"].shape)}

    def sample(self, seeds: Sequence[int], cond: Batch | None = None, weights: str = "ema") -> Tensor:
        """See Samples: translations of the sources in `cond`, in the model's format."""
        return self.translated(self.generator_of(weights), seeds, self.conditions(seeds) | (cond or {}))

    @torch.no_grad()
    def translated(self, network: nn.Module, seeds: Sequence[int], cond: Batch) -> Tensor:
        """What a network makes of its `inputs` in cond, [N, C, H, W] on the CPU, in evaluation mode."""
        like, z_dim = next(network.parameters()), getattr(network, "z_dim", 0)
        parts = [cond[name] for name in self.inputs] + ([normal_per_seed(seeds, z_dim)] if z_dim else [])
        found = []
        with evaluating(network):
            for start in range(0, len(seeds), SAMPLE_BATCH):
                rows = [part[start : start + SAMPLE_BATCH].to(like) for part in parts]
                empty = SAMPLE_BATCH - len(rows[0])
                x = network(*(F.pad(part, (*[0] * 2 * (part.dim() - 1), 0, empty)) for part in rows))
                found.append(x[: len(rows[0])].float().cpu().contiguous())
        return torch.cat(found) if found else torch.empty(0, *self.spec.shape)

    def example_inputs(self) -> dict[str, Tensor]:
        """See Exports."""
        cond = self.conditions([0])
        return {name: cond[name] for name in self.inputs} | ({"z": torch.zeros(1, self.z_dim)} if self.z_dim else {})


class AdversarialTranslation(Adversarial, Translation):
    """A translation that learns from a discriminator: two networks, or pairs of them, each with one optimizer.

    loss: the pair of adversarial losses, on logits of any shape [B, ...].
    The other arguments: see Adversarial.set_networks. A subclass defines `update`.
    """

    def __init__(
        self,
        spec: Spec,
        seed: int,
        generator: nn.Module,
        discriminator: nn.Module,
        loss: AdversarialLoss,
        g_optimizer: Callable[..., Optimizer],
        d_optimizer: Callable[..., Optimizer],
        ema: Callable[[nn.Module], EMA] | None = None,
        lr_schedule: Callable[[int], float] | None = None,
    ) -> None:
        super().__init__(spec, seed)
        self.set_networks(generator, discriminator, g_optimizer, d_optimizer, ema, lr_schedule)
        self.loss = loss
        self._last: dict[str, Tensor] = {}

    def noise(self, batch: int) -> list[Tensor]:
        """The latent [B, z_dim] from N(0, I) of this step, if the generator has one."""
        return [self.draw(torch.randn, batch, self.z_dim, "latent/0")] if self.z_dim else []

    def compare(self, discriminator: nn.Module, real: Tensor, fake: Tensor, *condition: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [B, ...] of real and of generated pictures with the same conditions, in one batch of 2 B, which is faster."""
        logits = discriminator(torch.cat([real, fake]), *(torch.cat([part, part]) for part in condition))
        return logits.chunk(2)

    def persuade(self, discriminator: nn.Module, real: Tensor, fake: Tensor, *condition: Tensor) -> Tensor:
        """The generator's adversarial losses [B, ...], with a graph to `fake`; `real` counts if the loss is relativistic."""
        if self.loss.relativistic:
            real_logits, fake_logits = self.compare(discriminator, real, fake, *condition)
            return self.loss.generator(fake_logits, real_logits.detach())
        fake_logits = discriminator(fake, *condition)
        return self.loss.generator(fake_logits, fake_logits)

    def finish(self, batches: Sequence[Batch], measured: dict[str, Tensor]) -> None:
        """Count an update, move the average, and keep what `scalars` gives."""
        samples = self.count(batches)
        if self.ema:
            self.ema.update(self.generator, samples, self.samples_seen)
        self._last = measured

    def scalars(self) -> dict[str, float]:
        """Losses of the last update, and D(x) = sigmoid(logit), a mean over the patches of real and of generated pictures."""
        return {name: value.detach().item() for name, value in self._last.items()}
