"""Models whose samples come from a network of latents: GANs, and whatever else maps N(0, I) to data."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from src.config.errors import UserError
from src.models.model import Model
from src.training import rng

SAMPLE_BATCH = 128  # sampling always runs batches of this size: the last bits of a matrix product depend on its shape


class LatentModel(Model):
    """`sampler()` is a network that maps (z [B, z_dim], y [B] or None) to samples [B, *spec.shape].

    Its `z_dim` says what it takes; `classes`, where it has them, that it is class-conditional; `truncates` that it truncates
    by itself; `render`, that it draws images of any side.
    """

    @property
    def z_dim(self) -> int:
        return self.sampler().z_dim  # type: ignore[return-value]

    @property
    def classes(self) -> int:
        """How many classes samples can be asked for; 0 without conditioning."""
        return getattr(self.sampler(), "classes", 0)

    def labels(self, seeds: Sequence[int]) -> Tensor | None:
        classes = self.classes
        return torch.tensor([seed % classes for seed in seeds], dtype=torch.int64) if classes else None

    def sample(
        self,
        seeds: Sequence[int],
        y: Tensor | None = None,
        weights: str = "ema",
        truncation: float | None = None,
        side: int | None = None,
    ) -> Tensor:
        y = self.labels(seeds) if y is None else y
        return self.decode(rng.normal_per_seed(seeds, self.z_dim), y, weights, truncation, side)

    @torch.no_grad()
    def decode(
        self,
        z: Tensor,
        y: Tensor | None = None,
        weights: str = "ema",
        truncation: float | None = None,
        side: int | None = None,
    ) -> Tensor:
        """Latents [N, z_dim] to samples [N, *spec.shape] on the CPU, in evaluation mode and batches of SAMPLE_BATCH.

        truncation: psi of a generator that does this itself (StyleGAN2), else the bound that latents are kept within.
        """
        network = self.sampler(weights)
        draw: Callable[..., Tensor] = network if side is None else partial(renderer(network), side=side)
        if truncation is not None:
            if getattr(network, "truncates", False):
                draw = partial(draw, truncation=truncation)
            else:
                z = rng.truncate_normal(z, truncation)
        was_training, _ = network.training, network.eval()
        like = next(network.parameters(), z)
        samples = []
        for start in range(0, len(z), SAMPLE_BATCH):
            rows = slice(start, start + SAMPLE_BATCH)
            size = len(z[rows])
            z_batch = functional.pad(z[rows], (0, 0, 0, SAMPLE_BATCH - size)).to(like.device, like.dtype)
            y_batch = None if y is None else functional.pad(y[rows], (0, SAMPLE_BATCH - size)).to(like.device)
            samples.append(draw(z_batch, y_batch)[:size].float().cpu())
        network.train(was_training)
        return torch.cat(samples) if samples else torch.empty(0)

    def interpolate(
        self,
        rows: int,
        steps: int,
        seed: int,
        y: Tensor | None = None,
        weights: str = "ema",
        truncation: float | None = None,
        side: int | None = None,
    ) -> Tensor:
        """Samples [rows, steps, *spec.shape] between the latents of seeds (seed, seed + 1), (seed + 2, seed + 3), ...

        y: classes of the rows [rows], `labels` where None; the rest is that of `decode`. Along the great circle: a straight
        line would leave the shell where N(0, I) latents lie (White 2016). Single numbers, which have no circle, take it.
        """
        a, b = rng.normal_per_seed(range(seed, seed + 2 * rows), self.z_dim).unflatten(0, (rows, 2)).unbind(1)
        angle = torch.acos(functional.cosine_similarity(a, b))[:, None, None]  # [rows, 1, 1]
        t = torch.linspace(0, 1, steps)[None, :, None]
        if self.z_dim == 1:
            z = torch.lerp(a[:, None], b[:, None], t)
        else:
            z = (torch.sin((1 - t) * angle) * a[:, None] + torch.sin(t * angle) * b[:, None]) / torch.sin(angle)
        y = self.labels(range(rows)) if y is None else y
        y = None if y is None else y.repeat_interleave(steps)
        return self.decode(z.flatten(0, 1), y, weights, truncation, side).unflatten(0, (rows, steps))

    def example_inputs(self) -> tuple[Tensor, ...]:
        y = self.labels(range(self.classes))
        return (torch.zeros(1, self.z_dim),) if y is None else (torch.zeros(len(y), self.z_dim), y)


def renderer(network: nn.Module) -> Callable[..., Tensor]:
    """A generator's way to images of any side; raises UserError for one that has none."""
    if not hasattr(network, "render"):
        raise UserError("this generator draws images of one size only: leave side= out, or train model=implicit_gan")
    return network.render  # type: ignore[return-value]
