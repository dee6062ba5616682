"""Step-keyed random streams: every draw is a function of (seed, stream, step), never of what was drawn before.

A run can therefore stop and go on at any step, and sample i is the same in any batch. Under several processes each one draws
the *global* batch and keeps its slice, so that the number of processes does not change the numbers.
"""

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor


def key(seed: int, stream: str, step: int = 0, k: int = 0) -> int:
    """A 63-bit key, the same on every machine and in every process (Python's own `hash` is salted).

    k: where a step needs several.
    """
    digest = hashlib.blake2b(f"{seed}/{stream}/{step}/{k}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def generator(seed: int, stream: str, step: int = 0) -> torch.Generator:
    """A CPU generator for one stream at one step (about 10 microseconds)."""
    return torch.Generator().manual_seed(key(seed, stream, step))


def seed_layers(seed: int, step: int, k: int = 0) -> None:
    """Key the global generators, which layers draw from, to discriminator update k of this step and what follows on it.

    In all processes alike, see `distributed.draw_rows`.

    Not `torch.manual_seed`: where CUDA has not been started, that notes down a stack trace at every call and keeps it.
    """
    value = key(seed, "layers", step, k)
    torch.default_generator.manual_seed(value)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed(value)
    if torch.backends.mps.is_available():
        torch.mps.manual_seed(value)


def truncate_normal(z: Tensor, bound: float) -> Tensor:
    """Latents from N(0, I) as latents from N(0, I) cut off at +-bound (Brock et al. 2019, section 3.1).

    Each number moves towards zero by the quantiles, in their order, so that a smaller bound changes a sample gradually.
    """
    inside = torch.special.ndtr(torch.tensor(bound, dtype=torch.float64))  # Phi(bound)
    quantile = 1 - inside + (2 * inside - 1) * torch.special.ndtr(z.double())
    return torch.special.ndtri(quantile).to(z.dtype)


def normal_per_seed(seeds: Sequence[int], size: int) -> Tensor:
    """Latents [N, size] from N(0, I) where row i depends on `seeds[i]` alone."""
    random = torch.Generator()  # one for all: to make it takes longer than to seed it
    rows = [torch.randn(size, generator=random.manual_seed(key(seed, "latent"))) for seed in seeds]
    return torch.stack(rows) if rows else torch.empty(0, size)
