"""A divergence of two sets of texts from the histogram of their features over common clusters.

Pillutla et al. 2021 (arXiv:2102.01454), with features of this laboratory instead of a language model's: values cannot be
compared with published ones.
"""

import warnings
from collections.abc import Sequence

import numpy as np
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits
from torch import Tensor

CLUSTERS = 10  # samples of both sets per cluster, on average (Pillutla et al. 2021, appendix)
SCALE = 5.0  # c of eq. 2
MIXTURES = 100  # weights of the mixture, between 0 and 1
SEEDS = range(5)  # of the clusters: values differ between them


def divergences(p: Tensor, q: Tensor) -> list[float]:
    """The area under the divergence curve of two sets of features [N, D] of one size, for each of SEEDS; 0 to 1, 1 if equal.

    Both sets are clustered together. Few samples bias it downwards: compare only values of the same number.
    """
    assert len(p) == len(q), "both sets must have as many texts"
    both = np.concatenate([p.numpy(), q.numpy()])
    clusters = max(2, len(both) // CLUSTERS)
    found = []
    with (
        threadpool_limits(1),
        warnings.catch_warnings(action="ignore"),
    ):  # threads affect rounding; few different texts are no error
        for seed in SEEDS:
            labels = KMeans(clusters, n_init=1, random_state=seed).fit_predict(both)
            counts = [np.bincount(part, minlength=clusters) / len(p) for part in np.split(labels, 2)]
            found.append(area(*counts))
    return found


def area(p: np.ndarray, q: np.ndarray) -> float:
    """Area under the curve (exp(-c KL(q | r)), exp(-c KL(p | r))), r = w p + (1 - w) q, 0 < w < 1, of histograms p and q."""
    weights = np.linspace(0, 1, MIXTURES + 2)[1:-1, None]
    mixtures = weights * p + (1 - weights) * q
    x, y = np.exp(-SCALE * divergence(q, mixtures)), np.exp(-SCALE * divergence(p, mixtures))
    # The curve begins at (0, 1), where the mixture is p, and ends at (1, 0).
    x, y = np.concatenate([[0], x[::-1], [1]]), np.concatenate([[1], y[::-1], [0]])
    order = np.lexsort((-y, x))
    return float(np.trapezoid(y[order], x[order]))


def divergence(p: np.ndarray, r: np.ndarray) -> np.ndarray:
    """KL(p | r) in nats, of p [K] from each row of r [..., K], which is not 0 where p is not."""
    there = p > 0
    return (p[there] * np.log(p[there] / r[..., there])).sum(axis=-1)


def summary(values: Sequence[Sequence[float]]) -> tuple[float, float]:
    """(mean, range) over the seeds of values [groups, seeds], each averaged over groups."""
    by_seed = np.mean(values, axis=0)
    return float(by_seed.mean()), float(np.ptp(by_seed))
