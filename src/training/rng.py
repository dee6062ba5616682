"""Step-keyed random streams: every draw is a function of (seed, stream, step), never of what was drawn before.

A run can therefore stop and resume at any step, and sample i is the same in any batch. With several ranks, each one draws the
*global* batch and keeps its slice, so that the number of ranks does not change the numbers.
"""

import hashlib

import torch


def key(seed: int, stream: str, step: int = 0, k: int = 0) -> int:
    """A 63-bit key, the same on every machine and in every process (Python's own `hash` is salted).

    k: number of the key, if a step needs several.
    """
    digest = hashlib.blake2b(f"{seed}/{stream}/{step}/{k}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def generator(seed: int, stream: str, step: int = 0) -> torch.Generator:
    """A CPU generator for one stream at one step (about 10 microseconds)."""
    return torch.Generator().manual_seed(key(seed, stream, step))


def seed_layers(seed: int, step: int, k: int = 0) -> None:
    """Seed torch's global generators, which layers draw from, for part k of this step's update.

    All ranks get the same state, see `collectives.draw_rows`.

    Not `torch.manual_seed`: before CUDA is initialised, it stores a stack trace at every call and never frees it.
    """
    value = key(seed, "layers", step, k)
    torch.default_generator.manual_seed(value)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed(value)
    if torch.backends.mps.is_available():
        torch.mps.manual_seed(value)
