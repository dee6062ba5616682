"""Classes of samples: the default ones, and dropping them in training for classifier-free guidance (Ho and Salimans 2022)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from src.data.spec import Batch


def conditions_of(seeds: Sequence[int], classes: int) -> Batch:
    """{"y": seed modulo the number of classes, [N]}; empty for an unconditional model, of 0 classes."""
    return {"y": torch.tensor([seed % classes for seed in seeds], dtype=torch.int64)} if classes else {}


def drop(y: Tensor, null: int, share: float, uniform: Tensor) -> Tensor:
    """Classes [B], where each is replaced by the class number `null` if its number of `uniform` [B] is below `share`.

    uniform: from U(0, 1), so that each sample loses its class with probability `share`.
    """
    return torch.where(uniform < share, null, y)
