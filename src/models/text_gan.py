"""A GAN for texts: Nie, Narodytska and Patel 2019, RelGAN: Relational Generative Adversarial Networks for Text Generation.

Texts are discrete, so that a discriminator's gradient ends at a drawn symbol. Gumbel-softmax relaxation (Jang et al. 2017,
arXiv:1611.01144) gives it a way, through distributions over symbols that are nearly one-hot.

In the paper the discriminator sees these distributions. Here it sees the drawn symbols, and only the gradient is that of the
distributions (Jang et al. 2017, section 2.2: straight-through). Otherwise softness tells samples from real texts, and the
generator learns the sharpest one: the end of the text at once, after which nothing but padding is possible.

The generator here is a causal transformer (src/networks/decoder.py) in place of the relational memory. In maximum-likelihood
training it computes all positions at once, and so can the relaxed samples, see `relaxed`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from src.data.spec import Batch, Spec
from src.models.autoregressive import Autoregressive
from src.models.constraints import Endings
from src.models.gan.losses import AdversarialLoss
from src.models.model import evaluating, settings_of
from src.models.texts import check_texts, padded
from src.networks.decoder import Decoder
from src.training import rng
from src.training.ema import EMA


@dataclass(frozen=True)
class Pretraining:
    """The first phase: maximum likelihood, while fewer than `samples` samples have been seen; 0 for none.

    optimizer, lr_schedule: of the generator in this phase, see OneLoss.
    """

    samples: int
    optimizer: Callable[..., Optimizer]
    lr_schedule: Callable[[int], float] | None = None


class TextGAN(Autoregressive):
    """A generator p(x) = prod_t p(x_t | x_<t), trained by maximum likelihood first and against a discriminator then.

    What is known of Autoregressive holds: an exact likelihood, samples, prompts. Classes and sources are not supported: the
    discriminator would have to look at them.

    network: the generator, see src.networks.decoder. discriminator: called with `spec=`, maps symbols [B, T] or distributions
    [B, T, V] to logits [B, S] of S representations.
    loss: the pair of adversarial losses; RelGAN's is relativistic_paired, a mean over the representations (eq. 7, 8).
    inverse_temperature: beta of the Gumbel-softmax as a function of the samples seen.
    straight_through: the discriminator sees drawn symbols; false is the paper's way, in which it sees distributions.
    g_optimizer, d_optimizer: of the adversarial phase, called with the parameters. lr_schedule: factor on both learning rates.
    """

    learner: Decoder
    outside: Tensor
    inside: Tensor

    def __init__(
        self,
        spec: Spec,
        seed: int,
        network: Callable[..., Decoder],
        discriminator: Callable[..., nn.Module],
        loss: AdversarialLoss,
        pretraining: Pretraining,
        inverse_temperature: Callable[[int], float],
        g_optimizer: Callable[..., Optimizer],
        d_optimizer: Callable[..., Optimizer],
        ema: Callable[[nn.Module], EMA] | None = None,
        lr_schedule: Callable[[int], float] | None = None,
        straight_through: bool = True,
    ) -> None:
        check_texts(spec)
        super().__init__(spec, seed, network, pretraining.optimizer, ema, pretraining.lr_schedule)
        self.discriminator = discriminator(spec=spec)
        self.adversarial_loss, self.pretraining, self.inverse_temperature = loss, pretraining, inverse_temperature
        self._adversarial_optimizers, self._adversarial_lr = (g_optimizer, d_optimizer), lr_schedule
        self._adversarial_settings: list[dict[str, Any]] = []
        self._measured: dict[str, float | Tensor] = {}
        self.straight_through = straight_through
        endings = Endings(spec)
        self.end = -1 if endings.end is None else endings.end
        # Symbols that may come before the end of a text, and after it, bool [V].
        self.register_buffer("inside", endings.inside, persistent=False)
        self.register_buffer(
            "outside", torch.arange(len(spec.x.names)) == (-1 if endings.pad is None else endings.pad), persistent=False
        )

    def configure_optimizers(self) -> list[Optimizer]:
        g_optimizer, d_optimizer = self._adversarial_optimizers
        adversarial = [g_optimizer(self.learner.parameters()), d_optimizer(self.discriminator.parameters())]
        self._adversarial_settings = [settings_of(optimizer) for optimizer in adversarial]
        return [*super().configure_optimizers(), *adversarial]

    def update(self, batches: Sequence[Batch], optimizer: Any, g_optimizer: Any, d_optimizer: Any) -> None:  # type: ignore[override]
        """Maximum likelihood at first, then one update of the discriminator and one of the generator."""
        if self.samples_seen < self.pretraining.samples:
            self._measured = {}
            super().update(batches, optimizer)
            return
        beta = self.inverse_temperature(self.samples_seen)
        due = self._adversarial_lr(self.samples_seen) if self._adversarial_lr else None
        self.set_schedules([g_optimizer, d_optimizer], self._adversarial_settings, lr_factor=due)
        rng.seed_layers(self.seed, self.step)
        real = padded(batches[0], self.spec)["x"]  # [B, T]
        fake = self.relaxed(len(real), beta)  # [B, T, V]

        real_logits, fake_logits = self.discriminator(real), self.discriminator(fake.detach())  # [B, S] each
        d_loss = self.adversarial_loss.discriminator(real_logits, fake_logits).mean()
        self.descend(d_loss, d_optimizer, self.discriminator)

        real_logits, fake_logits = self.discriminator(real).detach(), self.discriminator(fake)
        g_loss = self.adversarial_loss.generator(fake_logits, real_logits).mean()
        self.descend(g_loss, g_optimizer, self.learner)

        samples = self.count(batches)
        if self.ema:
            self.ema.update(self.learner, samples, self.samples_seen)
        self._measured = {
            "loss/discriminator": d_loss.detach(),
            "loss/generator": g_loss.detach(),
            "real_above_fake": (real_logits > fake_logits).float().mean(),
            "inverse_temperature": beta,
        }

    def relaxed(self, batch: int, beta: float) -> Tensor:
        """Samples as distributions over symbols, softmax(beta (o_t + g_t)) of logits o and Gumbel noise g (eq. 3), [B, T, V].

        If straight_through, the values are one-hot, the symbols argmax(o_t + g_t), and only the gradients are those of the
        distributions. The generator reads these symbols, which are draws from softmax(o_t), and no gradient goes through
        them (so it is in the authors' code). They are known before the gradients are needed. One pass over all positions then
        computes the logits and what gradients need.
        """
        length, symbols = self.spec.shape[0], len(self.spec.x.names)
        noise = self.draw(gumbel, batch, length * symbols, "gumbel").unflatten(1, (length, symbols))
        with evaluating(self.learner) as network:  # no dropout: both passes must agree
            x = self.drawn(network, noise)
            logits = network(x)
        ends = (x == self.end).long()
        ended = ends.cumsum(1) > ends  # at an earlier position, [B, T]
        soft = self.possible(beta * (logits + noise), ended).softmax(2)
        if not self.straight_through:
            return soft
        return torch.zeros_like(soft).scatter_(2, x[..., None], 1.0) + (soft - soft.detach())  # the difference is exactly 0

    @torch.no_grad()
    def drawn(self, network: Decoder, noise: Tensor) -> Tensor:
        """The symbols argmax(o_t + g_t), int64 [B, T], for Gumbel noise g [B, T, V]."""
        batch, length, _ = noise.shape
        symbol, cache = network.start(batch), network.cache(batch, length)
        ended = torch.zeros(batch, dtype=torch.bool, device=noise.device)
        found = []
        for t in range(length):
            symbol = self.possible(network.step(symbol, cache) + noise[:, t], ended).argmax(1, keepdim=True)  # [B, 1]
            ended = ended | (symbol.squeeze(1) == self.end)
            found.append(symbol)
        return torch.cat(found, dim=1)

    def possible(self, scores: Tensor, ended: Tensor) -> Tensor:
        """Scores [..., V], -inf for PAD and UNKNOWN in a text and for all but PAD after its end; ended: bool [...]."""
        return scores.masked_fill(~torch.where(ended[..., None], self.outside, self.inside), -torch.inf)

    def scalars(self) -> dict[str, float]:
        """Of the phase of the last update: the loss of maximum likelihood, or the two adversarial losses.

        real_above_fake: share of the pairs of a real text and a sample in which the discriminator's logit of the real one is
        higher.
        """
        return {name: float(value) for name, value in self._measured.items()} or super().scalars()

    def networks(self) -> dict[str, nn.Module]:
        return {"generator": self.learner, "discriminator": self.discriminator}

    def discriminate(self, batch: Batch) -> Tensor:
        """See Discriminates: the mean over the representations."""
        return self.discriminator(padded(batch, self.spec)["x"]).mean(1)


def gumbel(size: Sequence[int], generator: torch.Generator) -> Tensor:
    """Numbers of this size from the standard Gumbel distribution: -log(-log u), with u from U(0, 1)."""
    u = torch.rand(*size, generator=generator)  # not `exponential_`, which takes five times as long
    return u.clamp_(min=torch.finfo(u.dtype).tiny).log_().neg_().log_().neg_()
