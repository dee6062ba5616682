"""Ranks of what is searched for: recall at k, and ranks, with ties handled. Functions of arrays."""

from typing import NamedTuple

import numpy as np

CUTS = 1, 5, 10


class Places(NamedTuple):
    """Where the best relevant item of each query stands, [Q] each, if equal scores are ordered at random.

    above: irrelevant items with a higher score than the best relevant one. tied: irrelevant items with its score.
    relevant: relevant items with its score, itself included.
    """

    above: np.ndarray
    tied: np.ndarray
    relevant: np.ndarray


def places(scores: np.ndarray, relevant: np.ndarray) -> Places:
    """scores: float [Q, I] of items for queries. relevant: bool [Q, I], at least one item of each query."""
    assert relevant.any(axis=1).all(), "a query without a relevant item"
    best = np.where(relevant, scores, -np.inf).max(axis=1, keepdims=True)
    counts = ((scores > best) & ~relevant, (scores == best) & ~relevant, (scores == best) & relevant)
    return Places(*(part.sum(axis=1) for part in counts))


def ranks(found: Places) -> np.ndarray:
    """The expected rank of the best relevant item, float [Q]; the first of r among t + r is at (t + r + 1) / (r + 1)."""
    return found.above + (found.tied + found.relevant + 1) / (found.relevant + 1)


def hits(found: Places, k: int) -> np.ndarray:
    """The probability that a relevant item is among the first k, float [Q]: 1 - C(t, n) / C(t + r, n), n = k - above."""
    missed = np.ones(len(found.above))
    for i in range(k):
        left = (found.tied - i).clip(min=0)
        missed *= np.where(i < k - found.above, left / (left + found.relevant), 1.0)
    return 1 - missed


def retrieval(scores: np.ndarray, relevant: np.ndarray) -> dict[str, float]:
    """Recall at CUTS, and the mean and the median rank, both ways. scores, relevant: [captions, pictures]."""
    metrics: dict[str, float] = {}
    for name, turned in (("picture", False), ("caption", True)):
        found = places(*((part.T if turned else part) for part in (scores, relevant)))
        metrics |= {f"{name}_r{k}": float(hits(found, k).mean()) for k in CUTS}
        metrics |= {f"{name}_mean_rank": float(ranks(found).mean()), f"{name}_median_rank": float(np.median(ranks(found)))}
    recalls = [metrics[f"{name}_r{k}"] for name in ("picture", "caption") for k in CUTS]
    return {"recall": float(np.mean(recalls)), **metrics}


def accuracy(scores: np.ndarray, y: np.ndarray) -> float:
    """Share of right classes by the highest score, [classes, N]; of n equal ones, a right one counts 1 / n."""
    highest = scores == scores.max(axis=0)  # [classes, N]
    return float((highest[y, np.arange(len(y))] / highest.sum(axis=0)).mean())
