"""Conditions of samples: classes and their defaults, dropping them in training for classifier-free guidance, sources of data.

Classifier-free guidance: Ho and Salimans 2022.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from src.data.dataset import Split
from src.data.spec import Batch

SOURCE = "source", "source_length"  # fields of pairs: what x is generated from


def conditions_of(seeds: Sequence[int], classes: int) -> Batch:
    """{"y": seed modulo the number of classes, [N]}; empty for an unconditional model, of 0 classes."""
    return {"y": torch.tensor([seed % classes for seed in seeds], dtype=torch.int64)} if classes else {}


def drop(y: Tensor, null: int, share: float, uniform: Tensor) -> Tensor:
    """Conditions [B] or [B, T], where each is replaced by the number `null` if its number of `uniform` is below `share`.

    uniform: from U(0, 1), [B], or [B, 1] for conditions [B, T]: each sample loses its condition with probability `share`.
    """
    return torch.where(uniform < share, null, y)


def sources_of(split: Split, rows: np.ndarray) -> Batch:
    """The sources of these rows [N] of a split: {"source": [N, S], "source_length": [N]}; empty for data without any."""
    batch = split.batch(rows)
    return {name: torch.from_numpy(batch[name]) for name in SOURCE if name in batch}
