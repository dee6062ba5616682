import numpy as np
import pytest
import torch

from src.evaluation.metrics.mauve import area, divergence, divergences, summary


def test_divergence_by_hand() -> None:
    assert divergence(np.array([1.0, 0]), np.array([0.5, 0.5])) == pytest.approx(np.log(2))
    assert divergence(np.array([0.25, 0.75]), np.array([0.25, 0.75])) == 0


def test_area_of_equal_disjoint_and_exchanged_histograms() -> None:
    p, q = np.array([0.5, 0.5, 0]), np.array([0, 0.2, 0.8])
    assert area(p, p) == pytest.approx(1)
    # Disjoint: KL(p | r) = -log w and KL(q | r) = -log(1 - w), so that the curve is ((1 - w)^5, w^5), of area B(6, 5) * 5.
    assert area(np.array([1.0, 0]), np.array([0, 1.0])) == pytest.approx(1 / 252, abs=2e-4)
    assert area(p, q) == pytest.approx(area(q, p), abs=1e-9)
    assert 1 / 252 < area(p, q) < 1


def test_sets_of_one_distribution_are_closer_than_others() -> None:
    random = torch.Generator().manual_seed(0)
    a, b, other = (torch.randn(200, 4, generator=random) + shift for shift in (0, 0, 1.5))
    same, apart = divergences(a, b), divergences(a, other)
    assert len(same) == 5
    assert min(same) > 0.6 > 0.3 > max(apart)
    assert divergences(a, b) == same
    assert summary([same, same]) == pytest.approx((np.mean(same), max(same) - min(same)))
    with pytest.raises(AssertionError):
        divergences(a, b[:50])
