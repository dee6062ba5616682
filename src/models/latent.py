"""Models that map latents from N(0, I) to samples: GANs, VAEs and others."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from src.config.errors import UserError
from src.data.spec import Batch
from src.models.conditions import conditions_of
from src.models.model import Model, evaluating
from src.training import rng

SAMPLE_BATCH = 128  # sampling always runs batches of this size: the last bits of a matrix product depend on its shape


class LatentModel(Model):
    """`generator_of(weights)` maps (z [B, z_dim], y [B] or None) to samples [B, *spec.shape].

    Attributes of that network: `z_dim`; optional are `classes` (their number, for a class-conditional one), `truncates` (it
    truncates by itself), `render` (it draws images of any side) and `sample_batch` (SAMPLE_BATCH, for one whose samples are
    large).
    """

    condition_field = "y"  # of the data, and of conditions: the networks' y

    def generator_of(self, weights: str = "ema") -> nn.Module:
        """The network that maps latents to samples: `network`, or a part of it in a subclass."""
        return self.network(weights)

    @property
    def z_dim(self) -> int:
        return self.generator_of().z_dim  # type: ignore[return-value]

    @property
    def classes(self) -> int:
        """Number of classes; 0 for an unconditional model."""
        return getattr(self.generator_of(), "classes", 0)

    def conditions(self, seeds: Sequence[int]) -> Batch:
        """See Samples and `conditions_of`."""
        return conditions_of(seeds, self.classes)

    def sample(
        self,
        seeds: Sequence[int],
        cond: Batch | None = None,
        weights: str = "ema",
        truncation: float | None = None,
        side: int | None = None,
    ) -> Tensor:
        """See Samples.

        truncation: see `decode`; smaller values give more typical samples. side: of images in pixels; None for the data's.
        """
        cond = self.conditions(seeds) if cond is None else cond
        return self.drawn(self.decode(normal_per_seed(seeds, self.z_dim), cond, weights, truncation, side), seeds)

    def drawn(self, decoded: Tensor, seeds: Sequence[int]) -> Tensor:
        """Samples [N, *shape], given what `decode` makes of their latents [N, *shape] and one seed for each: the same here.

        A subclass whose decoder gives a distribution draws from it.
        """
        return decoded

    @torch.no_grad()
    def decode(
        self,
        z: Tensor,
        cond: Batch | None = None,
        weights: str = "ema",
        truncation: float | None = None,
        side: int | None = None,
    ) -> Tensor:
        """Latents [N, z_dim] to samples [N, *spec.shape] on the CPU, in evaluation mode and batches of one size.

        truncation: psi of a generator that truncates by itself (StyleGAN2), else the bound of latents (`truncate_normal`); None
        for no truncation. side: of images in pixels; None for the data's.
        """
        y = (cond or {}).get(self.condition_field)
        network = self.generator_of(weights)
        draw: Callable[..., Tensor] = network if side is None else partial(renderer(network), side=side)
        if truncation is not None:
            if getattr(network, "truncates", False):
                draw = partial(draw, truncation=truncation)
            else:
                z = truncate_normal(z, truncation)
        inputs = batches(z, y, next(network.parameters(), z), getattr(network, "sample_batch", SAMPLE_BATCH))
        with evaluating(network):
            samples = [draw(*latents)[:size].float().cpu() for size, *latents in inputs]
        return torch.cat(samples) if samples else torch.empty(0)

    def interpolate(
        self,
        rows: int,
        steps: int,
        seed: int,
        cond: Batch | None = None,
        weights: str = "ema",
        truncation: float | None = None,
        side: int | None = None,
    ) -> Tensor:
        """Samples [rows, steps, *spec.shape] between the latents of seeds (seed, seed + 1), (seed + 2, seed + 3), ...

        cond: of the rows; None for `conditions`. weights, truncation, side: see `decode`. The latents: see `great_circle`.
        """
        z = great_circle(rows, steps, seed, self.z_dim)
        cond = self.conditions(range(rows)) if cond is None else cond
        cond = {name: part.repeat_interleave(steps, dim=0) for name, part in cond.items()}
        return self.decode(z.flatten(0, 1), cond, weights, truncation, side).unflatten(0, (rows, steps))

    def unfold(
        self,
        seeds: Sequence[int],
        frames: int,
        cond: Batch | None = None,
        weights: str = "ema",
        truncation: float | None = None,
        side: int | None = None,
    ) -> Tensor:
        """See Unfolds: along the latent, from the mean of all latents to the sample's own. truncation, side: see `decode`."""
        z = normal_per_seed(seeds, self.z_dim)
        cond = self.conditions(seeds) if cond is None else cond
        shares = torch.linspace(0, 1, frames).tolist()
        decoded = (self.decode(share * z, cond, weights, truncation, side) for share in shares)
        return torch.stack([self.drawn(x, seeds) for x in decoded])

    def example_inputs(self) -> dict[str, Tensor]:
        y = self.conditions(range(self.classes))
        return {"z": torch.zeros(max(1, self.classes), self.z_dim), **y}


def batches(
    z: Tensor, y: Tensor | None, like: Tensor, batch: int = SAMPLE_BATCH
) -> Iterator[tuple[int, Tensor, Tensor | None]]:
    """Latents [N, D] and conditions [N, ...] in batches of `batch` rows, on the device and with the dtype of `like`.

    Yields (n, z [batch, D], y [batch, ...] or None), of which only the first n rows count: the last batch is padded.
    """
    for start in range(0, len(z), batch):
        rows = slice(start, start + batch)
        size = len(z[rows])
        z_batch = functional.pad(z[rows], (0, 0, 0, batch - size)).to(like.device, like.dtype)
        missing = [0, 0] * (0 if y is None else y.dim() - 1) + [0, batch - size]  # the last dimension comes first
        yield size, z_batch, None if y is None else functional.pad(y[rows], missing).to(like.device)


def renderer(network: nn.Module) -> Callable[..., Tensor]:
    """A generator's `render`, which draws images of any side; raises UserError if it has none."""
    if not hasattr(network, "render"):
        raise UserError("this generator draws images of one size only: leave side= out, or train model=implicit_gan")
    return network.render  # type: ignore[return-value]


def truncate_normal(z: Tensor, bound: float) -> Tensor:
    """Map latents from N(0, I) to N(0, I) truncated to -bound..bound (Brock et al. 2019, section 3.1).

    Each number keeps its quantile and so moves towards zero: a smaller bound changes a sample gradually.
    """
    inside = torch.special.ndtr(torch.tensor(bound, dtype=torch.float64))  # Phi(bound)
    quantile = 1 - inside + (2 * inside - 1) * torch.special.ndtr(z.double())
    return torch.special.ndtri(quantile).to(z.dtype)


def great_circle(rows: int, steps: int, seed: int, size: int) -> Tensor:
    """Latents [rows, steps, size] between those of seeds (seed, seed + 1), (seed + 2, seed + 3), ..., see `between`."""
    a, b = normal_per_seed(range(seed, seed + 2 * rows), size).unflatten(0, (rows, 2)).unbind(1)
    return between(a, b, steps)


def between(a: Tensor, b: Tensor, steps: int) -> Tensor:
    """Latents [R, steps, size] from a [R, size] to b [R, size].

    They lie on a great circle: a straight line would leave the shell where N(0, I) latents lie (White 2016). If size is 1, they
    lie on the line.
    """
    angle = torch.acos(functional.cosine_similarity(a, b))[:, None, None]  # [R, 1, 1]
    t = torch.linspace(0, 1, steps)[None, :, None]
    if a.shape[1] == 1:
        return torch.lerp(a[:, None], b[:, None], t)
    return (torch.sin((1 - t) * angle) * a[:, None] + torch.sin(t * angle) * b[:, None]) / torch.sin(angle)


def normal_per_seed(seeds: Sequence[int], size: int) -> Tensor:
    """Latents [N, size] from N(0, I) where row i depends on `seeds[i]` alone."""
    random = torch.Generator()  # one for all seeds: creating it takes longer than seeding it
    rows = [torch.randn(size, generator=random.manual_seed(rng.key(seed, "latent"))) for seed in seeds]
    return torch.stack(rows) if rows else torch.empty(0, size)
