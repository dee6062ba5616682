"""Losses against values worked out by hand: D = 0.5 at logit 0, D = 0.8 at logit ln 4, D = 0.2 at -ln 4."""

import math

import pytest
import torch

from src.losses.adversarial import cross_entropy_discriminator, minimax_generator, non_saturating_generator

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
