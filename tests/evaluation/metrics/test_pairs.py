"""Metrics of pairs of pictures against values computed by hand."""

import math

import pytest
import torch
from torch import Tensor

from src.evaluation.metrics.pairs import as_channels, edge_f1, edges, l1, perceptual, psnr, ssim


def flat(*levels: int, side: int = 16, channels: int = 3) -> Tensor:
    return torch.stack([torch.full((channels, side, side), level, dtype=torch.uint8) for level in levels])


def test_errors_of_flat_pictures() -> None:
    a, b = flat(0, 100, 255), flat(255, 110, 255)
    assert l1(a, b).tolist() == pytest.approx([1.0, 10 / 255, 0.0])
    equal = 10 * math.log10(255**2 * 12)
    assert psnr(a, b).tolist() == pytest.approx([0.0, 10 * math.log10(255**2 / 100), equal])
    assert equal == pytest.approx(58.92, abs=0.01)


def test_errors_within_a_mask() -> None:
    a, b = flat(100), flat(100)
    b[0, :, :4] = 110
    mask = torch.zeros(1, 1, 16, 16, dtype=torch.bool)
    mask[0, 0, :8] = True
    assert l1(a, b, mask).item() == pytest.approx(5 / 255)
    assert l1(a, b).item() == pytest.approx(2.5 / 255)
    assert psnr(a, b, mask).item() == pytest.approx(10 * math.log10(255**2 / 50))
    assert l1(a, b, ~mask).item() == 0


def test_structural_similarity_of_flat_pictures() -> None:
    """Without variance only the means count: (2 ab + c) / (a^2 + b^2 + c), c = (0.01 * 255)^2."""
    c = (0.01 * 255) ** 2
    expected = (2 * 50 * 150 + c) / (50**2 + 150**2 + c)
    assert ssim(flat(50, 50), flat(150, 50)).tolist() == pytest.approx([expected, 1.0], abs=1e-6)
    noise = torch.randint(256, (300, 1, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    values = ssim(noise, noise.flip(0))
    assert values.shape == (300,), "more than a portion"
    assert values.abs().mean() < 0.2
    assert torch.allclose(values, values.flip(0)), "neither picture is special, nor is a portion"


def test_edges_are_steps_of_luminance() -> None:
    x = flat(0)
    x[0, :, :, 8:] = 26  # a step of 0.102
    found = edges(x)[0, 0]
    assert found[:, 7:9].all()
    assert found.sum() == 32
    x[0, :, :, 8:] = 25  # of 0.098
    assert not edges(x).any()


def test_agreement_of_edges() -> None:
    def step(at: int) -> Tensor:
        x = flat(0)
        x[0, :, :, at:] = 255
        return x

    assert edge_f1(step(8), step(8)).item() == 1
    assert edge_f1(step(8), step(9)).item() == 1, "a pixel apart"
    assert edge_f1(step(8), step(12)).item() == 0
    assert edge_f1(flat(0), flat(255)).item() == 1, "neither has edges"
    assert edge_f1(step(8), flat(0)).item() == 0
    both = step(3)
    both[0, :, :, 11:] = 0  # edges at 3 and at 11
    assert edge_f1(step(3), both).item() == pytest.approx(2 * 1 * 0.5 / 1.5), "all of them right, half of them found"
    inverted = 255 - both
    assert edge_f1(inverted, both).item() == 1, "not their direction"


def test_perceptual_distance_of_directions() -> None:
    a = torch.tensor([[3.0, 0.0], [3.0, 0.0], [3.0, 0.0]])[:, :, None, None]
    b = torch.tensor([[5.0, 0.0], [0.0, 5.0], [-1.0, 0.0]])[:, :, None, None]
    assert perceptual([a], [b]).tolist() == pytest.approx([0.0, 2.0, 4.0])
    assert perceptual([a, a], [a, b]).tolist() == pytest.approx([0.0, 1.0, 2.0]), "mean over layers"
    wide = torch.cat([a, b], dim=3)  # [3, 2, 1, 2]
    assert perceptual([wide], [a.expand_as(wide)]).tolist() == pytest.approx([0.0, 1.0, 2.0]), "mean over positions"


def test_grey_and_colour() -> None:
    grey = flat(7, 200, channels=1)
    assert torch.equal(as_channels(grey, 3), flat(7, 200))
    assert torch.equal(as_channels(flat(7, 200), 1), grey)
    red = torch.tensor([255, 0, 0], dtype=torch.uint8).view(1, 3, 1, 1)
    assert as_channels(red, 1).item() == 76
