"""Ranks with ties against all orders of equal scores, and by hand."""

from itertools import pairwise, permutations

import numpy as np
import pytest

from src.evaluation.metrics.retrieval import CUTS, accuracy, hits, places, ranks, retrieval


def by_all_orders(scores: list[float], relevant: list[bool]) -> tuple[float, list[float]]:
    """The mean rank of the first relevant item, and the share of orders in which it is among the first k, k = 1 .. 5."""
    found = []
    for order in permutations(range(len(scores))):
        if all(scores[a] >= scores[b] for a, b in pairwise(order)):
            found.append(1 + next(place for place, item in enumerate(order) if relevant[item]))
    return float(np.mean(found)), [float(np.mean(np.array(found) <= k)) for k in range(1, 6)]


@pytest.mark.parametrize(
    ("scores", "relevant"),
    [
        ([3, 2, 1, 0], [0, 1, 0, 0]),
        ([2, 2, 2, 2], [0, 1, 0, 0]),
        ([3, 2, 2, 2, 2, 0], [0, 1, 0, 1, 0, 0]),
        ([3, 3, 2, 2, 1, 1], [0, 0, 0, 1, 1, 1]),
        ([1, 1, 1], [1, 1, 1]),
    ],
)
def test_ties_are_all_orders_of_equal_scores(scores: list[float], relevant: list[int]) -> None:
    mean, shares = by_all_orders(scores, [bool(one) for one in relevant])
    found = places(np.array([scores], float), np.array([relevant], bool))
    assert ranks(found)[0] == pytest.approx(mean)
    assert [hits(found, k)[0] for k in range(1, 6)] == pytest.approx(shares)


def test_a_constant_score_is_chance() -> None:
    metrics = retrieval(np.zeros((20, 20)), np.eye(20, dtype=bool))
    assert [metrics[f"picture_r{k}"] for k in CUTS] == pytest.approx([1 / 20, 5 / 20, 10 / 20])
    assert metrics["caption_mean_rank"] == metrics["caption_median_rank"] == 10.5
    assert metrics["recall"] == pytest.approx(16 / 60)


def test_both_ways_by_hand() -> None:
    """Two captions, three pictures; the second caption has two of them."""
    scores = np.array([[0.9, 0.1, 0.8], [0.95, 0.5, 0.2]])
    metrics = retrieval(scores, np.array([[1, 0, 0], [0, 1, 1]], bool))
    assert metrics["picture_r1"] == 0.5
    assert metrics["picture_mean_rank"] == 1.5
    assert metrics["caption_r1"] == pytest.approx(1 / 3)  # picture 1 alone finds its caption
    assert metrics["caption_mean_rank"] == pytest.approx(5 / 3)


def test_accuracy_shares_ties() -> None:
    assert accuracy(np.array([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]]), np.array([0, 0, 1])) == pytest.approx(0.5)
