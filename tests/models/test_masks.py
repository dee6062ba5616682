"""Free-form masks: keyed by sample, never empty, of any side."""

import pytest
import torch

from src.models.masks import DRAWS, free_form, masks_of, with_hole


@pytest.mark.parametrize(("height", "width"), [(8, 8), (28, 28), (16, 40)])
def test_holes_are_neither_empty_nor_everything(height: int, width: int) -> None:
    mask = masks_of(range(300), height, width)
    share = mask.mean((1, 2, 3))
    assert mask.shape == (300, 1, height, width)
    assert {*mask.unique().tolist()} == {0.0, 1.0}
    assert 0 < share.min() < share.max() < 0.7
    assert 0.05 < share.mean() < 0.35


def test_a_mask_depends_on_its_own_numbers() -> None:
    masks = masks_of([3, 4, 5], 16, 16)
    assert torch.equal(masks[1:2], masks_of([4], 16, 16))
    assert not torch.equal(masks[0], masks[1])
    assert masks_of([], 16, 16).shape == (0, 1, 16, 16)


def test_a_rectangle_and_a_stroke_where_their_numbers_say() -> None:
    uniform = torch.full((2, DRAWS), 0.5)
    uniform[0, :5] = torch.tensor([0.1, 0.0, 0.5, 0.0, 0.0])  # a rectangle of 0.2 x 0.35 in the corner
    uniform[1, 0], uniform[1, 5:] = 0.9, 0.0  # strokes from the corner along the first row, bent to and fro
    rectangle, stroke = free_form(uniform, 20, 20)[:, 0]
    assert rectangle.nonzero().amax(0).tolist() == [3, 6]
    assert rectangle.sum() == 4 * 7
    assert stroke[0, 0] == 1
    assert stroke.sum() < 30


def test_holes_are_grey() -> None:
    x, mask = torch.full((1, 3, 2, 2), -1.0), torch.tensor([[[[0.0, 1.0], [0.0, 0.0]]]])
    assert with_hole(x, mask)[0, :, 0].tolist() == [[-1, 0]] * 3
