"""Translation without pairs: Zhu et al. 2017, arXiv:1703.10593, Unpaired Image-to-Image Translation (CycleGAN)."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from src.config.errors import UserError
from src.data.spec import Batch, Spec
from src.models.gan.losses import AdversarialLoss
from src.models.translation import AdversarialTranslation
from src.parallel.collectives import draw_rows, from_all_processes
from src.training import rng
from src.training.ema import EMA


class Pair(nn.Module):
    """A module for each of the two kinds of pictures: `x` for those that are called x, `source` for the others."""

    def __init__(self, x: nn.Module, source: nn.Module) -> None:
        super().__init__()
        self.x, self.source = x, source


class CycleGAN(AdversarialTranslation):
    """G: sources s to pictures x, and F back, with a discriminator D_x, D_s for each of the two kinds (eq. 3).

    L = L_GAN(G, D_x) + L_GAN(F, D_s) + lambda (E|F(G(s)) - s|_1 + E|G(F(x)) - x|_1),
    and lambda * identity * (E|G(x) - x|_1 + E|F(s) - s|_1) (section 5.2) where both kinds have as many channels.

    generator: called with `spec=`, whose fields are exchanged for F; maps pictures to pictures.
    discriminator: called with `spec=` and `x=`, the field of its pictures; maps pictures to logits [B, ...].
    cycle: lambda. identity: weight of the identity loss, as a share of lambda.
    pool: number of earlier fakes that discriminators are shown, see `Pool`; 0 for none.
    The other arguments: see AdversarialTranslation. The average has both generators.
    """

    generator: Pair
    discriminator: Pair

    def __init__(
        self,
        spec: Spec,
        seed: int,
        generator: Callable[..., nn.Module],
        discriminator: Callable[..., nn.Module],
        loss: AdversarialLoss,
        g_optimizer: Callable[..., Optimizer],
        d_optimizer: Callable[..., Optimizer],
        cycle: float = 10.0,
        identity: float = 0.5,
        pool: int = 50,
        ema: Callable[[nn.Module], EMA] | None = None,
        lr_schedule: Callable[[int], float] | None = None,
    ) -> None:
        generators = Pair(generator(spec=spec), generator(spec=exchanged(spec)))
        discriminators = Pair(discriminator(spec=spec, x="x"), discriminator(spec=spec, x="source"))
        super().__init__(spec, seed, generators, discriminators, loss, g_optimizer, d_optimizer, ema, lr_schedule)
        shapes = spec.shape, spec.fields["source"].shape
        self.cycle, self.identity = cycle, identity if shapes[0] == shapes[1] else 0.0
        self.pools = Pair(*(Pool(pool, shape) for shape in shapes))

    def update(self, batches: Sequence[Batch], g_optimizer: Any, d_optimizer: Any) -> None:
        """One update of G and F together, then one of both discriminators, which are also shown earlier fakes (section 4).

        The paper halves the discriminators' objective, which changes nothing with Adam.
        """
        self.set_rates(g_optimizer, d_optimizer)
        rng.seed_layers(self.seed, self.step)
        x, s = batches[0]["x"], batches[0]["source"]
        g, f = self.generator.x, self.generator.source
        d_x, d_s = self.discriminator.x, self.discriminator.source

        fake_x, fake_s = g(s), f(x)
        cycle = (f(fake_x) - s).abs().mean() + (g(fake_s) - x).abs().mean()
        g_loss = self.persuade(d_x, x, fake_x).mean() + self.persuade(d_s, s, fake_s).mean() + self.cycle * cycle
        measured = {"loss/cycle": cycle}
        if self.identity:
            measured["loss/identity"] = (g(x) - x).abs().mean() + (f(s) - s).abs().mean()
            g_loss = g_loss + self.cycle * self.identity * measured["loss/identity"]
        self.descend(g_loss, g_optimizer, self.generator)

        x_logits, fake_x_logits = self.compare(d_x, x, self.pooled(fake_x.detach(), "x"))
        s_logits, fake_s_logits = self.compare(d_s, s, self.pooled(fake_s.detach(), "source"))
        d_loss = self.loss.discriminator(x_logits, fake_x_logits).mean()
        d_loss = d_loss + self.loss.discriminator(s_logits, fake_s_logits).mean()
        self.descend(d_loss, d_optimizer, self.discriminator)
        measured |= {"loss/generator": g_loss, "loss/discriminator": d_loss}
        measured |= {"D/real": x_logits.sigmoid().mean(), "D/fake": fake_x_logits.sigmoid().mean()}
        self.finish(batches, measured)

    def pooled(self, fake: Tensor, kind: str) -> Tensor:
        """This rank's rows of what the pool of this kind makes of the fakes of all ranks, [B, *shape]."""
        fakes = from_all_processes(fake).flatten(0, 1)  # [ranks B, *shape]
        uniform = torch.rand(len(fakes), 2, generator=rng.generator(self.seed, f"pool/{kind}", self.step)).tolist()
        pool = getattr(self.pools, kind)
        return draw_rows(lambda shape: pool(fakes, uniform), fake.shape)

    def generator_of(self, weights: str = "ema") -> nn.Module:
        """See Exports: G."""
        return self.network(weights).x  # type: ignore[return-value]

    def sample(
        self, seeds: Sequence[int], cond: Batch | None = None, weights: str = "ema", direction: str = "forward"
    ) -> Tensor:
        """See Samples: G of the sources. direction="backward": F of pictures of the kind x, which `cond` has as "source"."""
        if direction == "forward":
            return super().sample(seeds, cond, weights)
        if direction != "backward":
            raise UserError(f"direction={direction}: must be forward or backward")
        cond = cond or {"source": torch.ones(len(seeds), *self.spec.shape)}
        return self.translated(self.network(weights).source, seeds, cond)  # type: ignore[arg-type]


class Pool(nn.Module):
    """Of the fakes that come, half are given as they are, and half are exchanged for earlier ones (Shrivastava et al. 2017).

    Fakes are given as they come until there are `size` of them. Buffers, so that they are part of a checkpoint.
    """

    images: Tensor
    count: Tensor

    def __init__(self, size: int, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("images", torch.zeros(size, *shape))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    def forward(self, fakes: Tensor, uniform: Sequence[Sequence[float]]) -> Tensor:
        """Fakes [B, *shape], one after the other, to as many; uniform: for each, two numbers in [0, 1)."""
        size, count, given = len(self.images), int(self.count), []
        for fake, (keep, place) in zip(fakes, uniform, strict=True):
            if count < size:
                self.images[count] = fake
                count += 1
                given.append(fake)
            elif keep < 0.5 or not size:
                given.append(fake)
            else:
                earlier = self.images[int(place * size)]
                given.append(earlier.clone())
                earlier.copy_(fake)
        self.count.fill_(count)
        return torch.stack(given)


def exchanged(spec: Spec) -> Spec:
    """The spec of the opposite direction: x is the source, and the source is x."""
    return Spec({**spec.fields, "x": spec.fields["source"], "source": spec.x})
