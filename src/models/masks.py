"""Free-form masks for inpainting: strokes (Yu et al. 2019, arXiv:1806.03589, section 3.4) and rectangles."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from src.training import rng

STROKES, SEGMENTS = 2, 4  # strokes of a mask, and straight parts of a stroke
BRUSH = 0.08, 0.20  # widths of strokes; all lengths are shares of the shorter side
LENGTH = 0.10, 0.40  # of a segment
BEND = 2.0  # radians, the largest angle between two segments
RECTANGLE = 0.20, 0.50  # sides
PER_STROKE = 4 + 2 * SEGMENTS  # numbers: place, direction and width of the stroke, length and bend of each segment
DRAWS = 5 + STROKES * PER_STROKE  # numbers of a mask


def free_form(uniform: Tensor, height: int, width: int) -> Tensor:
    """Masks [B, 1, H, W], 1.0 in the hole and 0.0 elsewhere, from numbers [B, DRAWS] in [0, 1).

    A third of them are a rectangle, a third are strokes, and a third are both. No hole is empty.
    """
    side = min(height, width)
    down = (torch.arange(height, device=uniform.device, dtype=uniform.dtype)[:, None] + 0.5) / side  # [H, 1]
    right = (torch.arange(width, device=uniform.device, dtype=uniform.dtype) + 0.5) / side  # [W]
    extent = torch.tensor([height / side, width / side], device=uniform.device, dtype=uniform.dtype)
    kind, rectangle, strokes = uniform[:, 0, None, None], uniform[:, 1:5], uniform[:, 5:].unflatten(1, (STROKES, PER_STROKE))
    hole = in_rectangle(rectangle, extent, down, right) & (kind < 2 / 3)
    hole = hole | (in_strokes(strokes, extent, down, right) & (kind >= 1 / 3))
    return hole[:, None].to(uniform.dtype)


def in_rectangle(uniform: Tensor, extent: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Which pixels lie in rectangles inside the picture, bool [B, H, W]; uniform [B, 4], pixels at down [H, 1], right [W]."""
    sides = (RECTANGLE[0] + (RECTANGLE[1] - RECTANGLE[0]) * uniform[:, :2]).clamp(min=float(down[1] - down[0]))  # of a pixel
    centre = sides / 2 + (extent - sides) * uniform[:, 2:]
    (y, x), (h, w) = centre.T[..., None, None], sides.T[..., None, None]  # each [B, 1, 1]
    return ((down - y).abs() <= h / 2) & ((right - x).abs() <= w / 2)


def in_strokes(uniform: Tensor, extent: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Which pixels lie within half a stroke's width of its segments, bool [B, H, W]; uniform [B, STROKES, PER_STROKE]."""
    start, first, brush = uniform[..., :2] * extent, 2 * math.pi * uniform[..., 2:3], uniform[..., 3]
    length = LENGTH[0] + (LENGTH[1] - LENGTH[0]) * uniform[..., 4 : 4 + SEGMENTS]  # [B, STROKES, SEGMENTS]
    angle = first + (BEND * (2 * uniform[..., 4 + SEGMENTS :] - 1)).cumsum(2)
    steps = length[..., None] * torch.stack([angle.sin(), angle.cos()], dim=3)  # [B, STROKES, SEGMENTS, 2]
    ends = start[:, :, None] + steps.cumsum(2)
    (y, x), (dy, dx) = (part.flatten(1, 2).movedim(2, 0)[..., None, None] for part in (ends - steps, steps))  # [B, K, 1, 1]
    y, x = down - y, right - x  # [B, K, H, 1] and [B, K, 1, W]: from the segment's beginning
    along = ((y * dy + x * dx) / (dy.square() + dx.square())).clamp(0, 1)  # the nearest point of the segment
    distance = ((y - along * dy).square() + (x - along * dx).square()).sqrt()  # [B, K, H, W]
    half_diagonal = math.sqrt(0.5) * float(down[1] - down[0])  # of a pixel: a stroke reaches one wherever it begins
    radius = ((BRUSH[0] + (BRUSH[1] - BRUSH[0]) * brush) / 2).clamp(min=half_diagonal)
    return (distance <= radius.repeat_interleave(SEGMENTS, dim=1)[..., None, None]).any(1)


def masks_of(seeds: Sequence[int], height: int, width: int) -> Tensor:
    """Masks [N, 1, H, W] where mask i depends on seeds[i] alone."""
    if not seeds:
        return torch.empty(0, 1, height, width)
    return free_form(torch.stack([torch.rand(DRAWS, generator=rng.generator(seed, "mask")) for seed in seeds]), height, width)


def with_hole(x: Tensor, mask: Tensor) -> Tensor:
    """Pictures [B, C, H, W] in [-1, 1], grey (0) in the hole of masks [B, 1, H, W]."""
    return torch.where(mask > 0.5, torch.zeros_like(x), x)
