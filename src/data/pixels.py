"""Pixels as bytes and as numbers: the one place where images change between the two."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

QUANTISATION = "x in [-1, 1] to round-half-even((x + 1) * 127.5), clamped to 0..255"


def from_uint8(x: Tensor) -> Tensor:
    """Pixels 0..255 (uint8, or float after a resize) to float32 in [-1, 1], any shape; `to_uint8` takes it back exactly."""
    return x.mul(1 / 127.5).sub_(1.0)


def to_uint8(x: Tensor) -> Tensor:
    """Float in [-1, 1], any shape, to uint8 0..255 as QUANTISATION says."""
    import torch

    return x.float().add(1.0).mul_(127.5).round_().clamp_(0, 255).to(torch.uint8)
