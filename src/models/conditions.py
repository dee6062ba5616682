"""Conditions of samples: classes and their defaults, dropping them in training for classifier-free guidance, sources of data.

Classifier-free guidance: Ho and Salimans 2022.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from src.data.dataset import Split
from src.data.pixels import to_uint8
from src.data.spec import Batch
from src.models.capabilities import ConditionsFromData

SOURCE = "source", "source_length"  # fields of pairs: what x is generated from


def conditions_of(seeds: Sequence[int], classes: int) -> Batch:
    """{"y": seed modulo the number of classes, [N]}; empty for an unconditional model, of 0 classes."""
    return {"y": torch.tensor([seed % classes for seed in seeds], dtype=torch.int64)} if classes else {}


def drop(y: Tensor, null: int, share: float, uniform: Tensor) -> Tensor:
    """Conditions [B] or [B, T], where each is replaced by the number `null` if its number of `uniform` is below `share`.

    uniform: from U(0, 1), [B], or [B, 1] for conditions [B, T]: each sample loses its condition with probability `share`.
    """
    return torch.where(uniform < share, null, y)


def conditions_for(model: Any, split: Split, rows: np.ndarray, seeds: Sequence[int]) -> Batch:
    """The conditions that these rows [N] of a split give to a model's samples of these seeds, in the model's format.

    They are what the model makes of the rows (ConditionsFromData), or their fields of SOURCE: {"source": [N, ...]}, of texts
    also "source_length" [N]; empty for data without a source.
    """
    batch = {name: torch.from_numpy(part) for name, part in split.batch(rows).items()}
    batch = model.spec.to_model(batch, model.dtype)
    if isinstance(model, ConditionsFromData):
        return model.conditions_from(batch, seeds)
    return {name: batch[name] for name in SOURCE if name in batch}


def source_as_data(source: Tensor) -> Tensor:
    """A source [N, ...] in the model's format as its data have it: pictures as uint8, symbols as they are."""
    return to_uint8(source) if source.is_floating_point() else source
