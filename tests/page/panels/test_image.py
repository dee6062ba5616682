"""A drawing is moved as MNIST's images are: its centre of mass to the middle."""

import torch

from src.page.panels.image import centred


def test_a_drawing_is_centred() -> None:
    image = torch.zeros(1, 28, 28, dtype=torch.uint8)
    image[0, 2:5, 20:23] = 200
    moved = centred(image)
    assert moved.sum() == image.sum()
    assert moved[0, 12:16, 12:16].sum() == image.sum()
    blank = torch.zeros_like(image)
    assert torch.equal(centred(blank), blank)
