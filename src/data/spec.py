"""What a data set tells a network, and what a loader hands to a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:  # data sources use this module, and they do not pay for importing torch
    from torch import Tensor


@dataclass(frozen=True)
class Spec:
    """The interface of a data set: the data makes it, networks take their sizes from it.

    kind: what the tensors mean to a person; names the module in `src/modalities` ("image", ...).
    shape: of one sample; (C, H, W) for images.
    classes: the names of the classes in label order, empty where there are no labels.
    """

    kind: str
    shape: tuple[int, ...]
    classes: tuple[str, ...] = ()


class Batch(NamedTuple):
    """Samples on their way to a model.

    x: [B, *spec.shape]; images are uint8 0..255 until the device transfer, float in [-1, 1] after it.
    y: [B] class labels, int64.
    cond: [B, ...] what else the samples are conditioned on.
    """

    x: Tensor
    y: Tensor | None = None
    cond: Tensor | None = None
