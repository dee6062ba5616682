"""Fills of holes against closed forms."""

import torch
from torch import Tensor

from src.evaluation.metrics.fills import composed, diffusion_fill, mean_fill, nearest_fill


def hole(rows: slice, columns: slice, side: int = 12) -> Tensor:
    mask = torch.zeros(1, 1, side, side, dtype=torch.bool)
    mask[0, 0, rows, columns] = True
    return mask


def ramp(side: int = 12) -> Tensor:
    """[1, 3, side, side]: 10 levels more for each column, 100 at the first; the other channels reversed and constant."""
    x = torch.arange(side) * 10 + 100
    return torch.stack([x, x.flip(0), torch.full_like(x, 7)])[None, :, None].expand(1, 3, side, side).to(torch.uint8)


def test_content_stands_in_the_hole_alone() -> None:
    mask = hole(slice(2, 4), slice(5, 9))
    x = composed(ramp(), mask, torch.zeros_like(ramp()))
    assert not x[mask.expand_as(x)].any()
    assert torch.equal(x[~mask.expand_as(x)], ramp()[~mask.expand_as(x)])


def test_the_mean_of_what_is_known() -> None:
    mask = hole(slice(0, 12), slice(0, 6))
    filled = mean_fill(ramp(), mask)
    assert filled[0, :, 0, 0].tolist() == [185, 125, 7]
    assert mean_fill(ramp(), torch.ones_like(mask)).unique().tolist() == [128], "nothing is known"


def test_diffusion_restores_a_linear_ramp_exactly() -> None:
    for mask in (hole(slice(3, 9), slice(2, 10)), hole(slice(0, 12), slice(4, 8)), hole(slice(0, 3), slice(3, 7))):
        spoiled = composed(ramp(), mask, torch.full_like(ramp(), 255))
        assert torch.equal(diffusion_fill(spoiled, mask), ramp()), "inside, and where the hole touches the border"


def test_diffusion_at_a_corner_and_without_anything_known() -> None:
    corner = hole(slice(0, 12), slice(6, 12))
    assert torch.equal(diffusion_fill(ramp(), corner)[..., 6:], ramp()[..., 5:6].expand(1, 3, 12, 6)), "one colour at its edge"
    nothing, everything = torch.zeros_like(corner), torch.ones_like(corner)
    assert torch.equal(diffusion_fill(ramp(), nothing), ramp())
    assert diffusion_fill(ramp(), everything).unique().tolist() == [128]


def test_the_nearest_picture_outside_the_hole() -> None:
    mask = hole(slice(0, 6), slice(0, 12))
    far, near = torch.zeros_like(ramp()), ramp().clone()
    near[:, :, :6] = 9  # equal where the picture is known
    bank = torch.cat([far] * 1500 + [near])
    filled, rows = nearest_fill(ramp(), mask, bank)
    assert rows.tolist() == [1500]
    assert (filled[:, :, :6] == 9).all()
    assert torch.equal(filled[:, :, 6:], ramp()[:, :, 6:])
