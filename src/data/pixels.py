"""Conversion of pixels between uint8 and float, for all modules."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

QUANTISATION = "x in [-1, 1] to round-half-even((x + 1) * 127.5), clamped to 0..255"


def from_uint8(x: Tensor) -> Tensor:
    """Pixels 0..255 (uint8, or float after a resize) to float32 in [-1, 1], any shape; `to_uint8` inverts it exactly."""
    return x.mul(1 / 127.5).sub_(1.0)


def to_uint8(x: Tensor) -> Tensor:
    """Float in [-1, 1], any shape, to uint8 0..255 by QUANTISATION."""
    import torch

    return x.float().add(1.0).mul_(127.5).round_().clamp_(0, 255).to(torch.uint8)
