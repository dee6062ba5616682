"""Conditions of samples: classes, captions, dropping them in training for classifier-free guidance, sources of data.

Classifier-free guidance: Ho and Salimans 2022.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from src.config.errors import UserError
from src.data.dataset import Split
from src.data.pixels import to_uint8
from src.data.spec import Batch, Field, Spec
from src.data.vocabulary import PAD, UNKNOWN
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


def hide_words(tokens: Tensor, field: Field, share: float, draw: Callable[[int, int], Tensor]) -> Tensor:
    """Captions [B, T] where each word is read as UNKNOWN with probability `share`, so that unknown words are nothing new.

    draw: (B, T) -> numbers [B, T] from U(0, 1).
    """
    if not share or UNKNOWN not in field.names:
        return tokens
    hidden = draw(*tokens.shape) < share
    hidden &= tokens != field.names.index(PAD)
    return torch.where(hidden, field.names.index(UNKNOWN), tokens)


class FromCaptions:
    """Of rules whose networks' y are captions, tokens [B, T] of the field `caption`. The empty caption means: any picture."""

    condition_field = "caption"
    spec: Spec

    def conditions(self, seeds: Sequence[int]) -> Batch:
        """See Samples: empty captions, {"caption": [N, T]}."""
        field = caption_field(self.spec)
        return {"caption": torch.full((len(seeds), *field.shape), field.names.index(PAD), dtype=torch.int64)}

    def conditions_from(self, batch: Batch, seeds: Sequence[int]) -> Batch:
        """See ConditionsFromData: the captions of the batch."""
        return {"caption": batch["caption"]}


def caption_field(spec: Spec) -> Field:
    """The field `caption`; UserError for data without one."""
    if "caption" not in spec.fields:
        raise UserError("this model draws what captions say, and the data have none: take data=emoji_captions")
    return spec.fields["caption"]


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
