"""Losses against values worked out by hand: D = 0.5 at logit 0, D = 0.8 at logit ln 4, D = 0.2 at -ln 4."""

import math

import pytest
import torch

from src.models.gan.losses import (
    cross_entropy_discriminator,
    hinge_discriminator,
    least_squares_discriminator,
    least_squares_generator,
    minimax_generator,
    non_saturating_generator,
    relativistic_average_discriminator,
    relativistic_average_generator,
    relativistic_paired_discriminator,
    relativistic_paired_generator,
    wasserstein_discriminator,
    wasserstein_generator,
)

LOGITS = torch.tensor([0.0, math.log(4), -math.log(4)], dtype=torch.float64)
D = [0.5, 0.8, 0.2]


def test_discriminator_is_the_cross_entropy() -> None:
    got = cross_entropy_discriminator(LOGITS, LOGITS.flip(0))
    assert got.tolist() == pytest.approx([-math.log(d) - math.log(1 - e) for d, e in zip(D, reversed(D), strict=True)])


def test_minimax_generator() -> None:
    assert minimax_generator(LOGITS, LOGITS).tolist() == pytest.approx([math.log(1 - d) for d in D])


def test_non_saturating_generator() -> None:
    assert non_saturating_generator(LOGITS, LOGITS).tolist() == pytest.approx([-math.log(d) for d in D])


def test_gradients_where_the_discriminator_is_sure() -> None:
    """Goodfellow et al. 2014, section 3: minimax saturates at a fake that D rejects, the other one does not."""
    logits = torch.tensor([-20.0], dtype=torch.float64, requires_grad=True)
    (minimax,) = torch.autograd.grad(minimax_generator(logits, logits).sum(), logits)
    (non_saturating,) = torch.autograd.grad(non_saturating_generator(logits, logits).sum(), logits)
    assert minimax.item() == pytest.approx(-math.exp(-20), rel=1e-6)
    assert non_saturating.item() == pytest.approx(-1.0)


@pytest.mark.parametrize("logit", [-1000.0, 1000.0])
def test_finite_at_extreme_logits(logit: float) -> None:
    extreme = torch.tensor([logit])
    for value in (
        cross_entropy_discriminator(extreme, -extreme),
        minimax_generator(extreme, extreme),
        non_saturating_generator(extreme, extreme),
    ):
        assert torch.isfinite(value).all()


REAL, FAKE = torch.tensor([2.0, 0.5], dtype=torch.float64), torch.tensor([-3.0, 0.0], dtype=torch.float64)


def sigmoid(t: float) -> float:
    return 1 / (1 + math.exp(-t))


def test_least_squares() -> None:
    assert least_squares_discriminator(REAL, FAKE).tolist() == pytest.approx([0.5 + 4.5, 0.125])
    assert least_squares_generator(FAKE, REAL).tolist() == pytest.approx([8.0, 0.5])


def test_wasserstein() -> None:
    assert wasserstein_discriminator(REAL, FAKE).tolist() == pytest.approx([-5.0, -0.5])
    assert wasserstein_generator(FAKE, REAL).tolist() == pytest.approx([3.0, 0.0])


def test_hinge() -> None:
    """No more from a real score above 1 or a fake one below -1."""
    assert hinge_discriminator(REAL, FAKE).tolist() == pytest.approx([0.0, 0.5 + 1.0])


def test_relativistic_paired() -> None:
    assert relativistic_paired_discriminator(REAL, FAKE).tolist() == pytest.approx(
        [-math.log(sigmoid(5)), -math.log(sigmoid(0.5))]
    )
    assert relativistic_paired_generator(FAKE, REAL).tolist() == pytest.approx(
        [-math.log(sigmoid(-5)), -math.log(sigmoid(-0.5))]
    )


def test_relativistic_average() -> None:
    """The means are 1.25 (real) and -1.5 (fake)."""
    expected = [-math.log(sigmoid(r + 1.5)) - math.log(1 - sigmoid(f - 1.25)) for r, f in ((2.0, -3.0), (0.5, 0.0))]
    assert relativistic_average_discriminator(REAL, FAKE).tolist() == pytest.approx(expected)
    expected = [-math.log(sigmoid(f - 1.25)) - math.log(1 - sigmoid(r + 1.5)) for r, f in ((2.0, -3.0), (0.5, 0.0))]
    assert relativistic_average_generator(FAKE, REAL).tolist() == pytest.approx(expected)
