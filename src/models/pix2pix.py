"""Translation of pictures from pairs: Isola et al. 2017, arXiv:1611.07004, Image-to-Image Translation with Conditional GANs."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import nn
from torch.optim import Optimizer

from src.data.spec import Batch, Spec
from src.models.gan.losses import AdversarialLoss
from src.models.translation import AdversarialTranslation
from src.training import rng
from src.training.ema import EMA


class Pix2Pix(AdversarialTranslation):
    """min_G max_D E[log D(s, x)] + E[log(1 - D(s, G(s, z)))] + lambda E|x - G(s, z)|_1 (eq. 4), x a picture, s its source.

    Any other pair of adversarial losses may take the place of the first two terms.

    generator: called with `spec=`; maps source [B, C_s, H, W], and z [B, z_dim] if it has a latent, to pictures [B, *shape].
    discriminator: called with `spec=`; maps (x, source) to logits [B, ...], one for each patch.
    l1: lambda, the weight of the mean absolute difference. adversarial: weight of the generator's adversarial loss; 0 trains
    the generator on L1 alone, without a discriminator.
    The other arguments: see AdversarialTranslation.
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
        l1: float = 100.0,
        adversarial: float = 1.0,
        ema: Callable[[nn.Module], EMA] | None = None,
        lr_schedule: Callable[[int], float] | None = None,
    ) -> None:
        networks = generator(spec=spec), discriminator(spec=spec)
        super().__init__(spec, seed, *networks, loss, g_optimizer, d_optimizer, ema, lr_schedule)
        self.l1, self.adversarial = l1, adversarial

    def update(self, batches: Sequence[Batch], g_optimizer: Any, d_optimizer: Any) -> None:
        """One update of D on (x, s) against (G(s, z), s), then one of G on the same pictures (section 3.3).

        The paper halves D's objective, which slows D down with plain gradient descent and changes nothing with Adam.
        """
        self.set_rates(g_optimizer, d_optimizer)
        rng.seed_layers(self.seed, self.step)
        real, source = batches[0]["x"], batches[0]["source"]
        fake = self.generator(source, *self.noise(len(real)))
        l1 = (fake - real).abs().mean()
        g_loss, measured = self.l1 * l1, {"loss/l1": l1}

        if self.adversarial:
            real_logits, fake_logits = self.compare(self.discriminator, real, fake.detach(), source)
            d_loss = self.loss.discriminator(real_logits, fake_logits).mean()
            self.descend(d_loss, d_optimizer, self.discriminator)
            g_loss = g_loss + self.adversarial * self.persuade(self.discriminator, real, fake, source).mean()
            measured |= {
                "loss/discriminator": d_loss,
                "D/real": real_logits.sigmoid().mean(),
                "D/fake": fake_logits.sigmoid().mean(),
            }
        self.descend(g_loss, g_optimizer, self.generator)
        self.finish(batches, measured | {"loss/generator": g_loss})

    def networks(self) -> dict[str, nn.Module]:
        return super().networks() if self.adversarial else {"generator": self.generator}
