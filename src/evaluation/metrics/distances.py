"""Distances between sets of features, by torch-fidelity's functions or bitwise equal to them, on features extracted once.

Features are float32 [N, D] on the CPU, logits [N, K]. Random choices are keyed by `seed`. NumPy and SciPy use as many threads
as torch, which a run pins and records: the number of threads affects rounding.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor
from torch_fidelity import metric_fid, metric_isc

from src.training import rng

Statistics = dict[str, Any]  # torch-fidelity's: mu [D], sigma [D, D]


def statistics(features: Tensor) -> Statistics:
    """Mean and covariance of features [N, D], N >= 2."""
    with _threads_of_torch():
        return metric_fid.fid_features_to_statistics(features)


def frechet_distance(a: Statistics, b: Statistics) -> float:
    """|mu_a - mu_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2)), 0 and up, lower is better (Heusel et al. 2017, eq. 6).

    Biased upwards for small sets: compare only values of equal sample counts.
    """
    with _threads_of_torch():
        return metric_fid.fid_statistics_to_metric(a, b, verbose=False)[metric_fid.KEY_METRIC_FID]


def spread(features: Tensor) -> Tensor:
    """Standard deviations [D] of features [N, D], 1 where they are 0: to measure distances in."""
    deviation = features.std(dim=0)
    return torch.where(deviation > 0, deviation, 1.0)


def inception_score(logits: Tensor, seed: int, splits: int = 10) -> tuple[float, float]:
    """exp(E KL(p(y|x) || p(y))), mean and deviation over `splits` parts, from 1 to K (Salimans et al. 2016, section 4).

    It misses many defects: binarised digits score above real ones. Do not use it alone.
    """
    found = metric_isc.isc_features_to_metric(
        logits, splits=min(splits, len(logits)), rng_seed=_numpy_seed(seed, "inception score")
    )
    return found[metric_isc.KEY_METRIC_ISC_MEAN], found[metric_isc.KEY_METRIC_ISC_STD]


def kernel_distance(
    samples: Tensor, reference: Tensor, seed: int, subsets: int = 100, within: np.ndarray | None = None
) -> tuple[float, float]:
    """Unbiased MMD^2 with the kernel (x.y / D + 1)^3: mean and deviation over subsets (Binkowski et al. 2018, eq. 4).

    About 0, also slightly below, for two sets of one distribution. Subsets hold 1,000 samples, or half of a smaller set.
    Features of small classifiers are standardised first (see `standardise`), Inception's are not, as published. Bitwise equal
    to torch-fidelity's `kid`, which recomputes the reference's part for each set of samples.

    within: `kernel_within(reference, seed)`, if already computed; used only if there are as many samples as reference samples.
    """
    if within is None or len(samples) != len(reference):
        within = _kernel_within(samples, reference, seed, subsets)
    x, y = samples.numpy(), reference.numpy()
    found = np.zeros(subsets)
    with _threads_of_torch():
        for i, (rows, others) in enumerate(_subsets(len(x), len(y), seed, subsets)):
            a, b, size = x[rows], y[others], len(rows)
            apart = (_pairs(a) + within[i]) / (size * (size - 1))
            found[i] = apart - 2 * _kernel(a, b).sum(axis=0).sum() / size**2
    return float(found.mean()), float(found.std())


def kernel_within(reference: Tensor, seed: int, subsets: int = 100) -> np.ndarray:
    """The part of `kernel_distance` that depends only on the reference [M, D], for a comparison with M samples: [subsets]."""
    return _kernel_within(reference, reference, seed, subsets)


def _kernel_within(samples: Tensor, reference: Tensor, seed: int, subsets: int) -> np.ndarray:
    y = reference.numpy()
    with _threads_of_torch():
        return np.array([_pairs(y[rows]) for _, rows in _subsets(len(samples), len(y), seed, subsets)])


def _subsets(samples: int, reference: int, seed: int, subsets: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Random rows of the samples and of the reference, equally many of both."""
    random = np.random.RandomState(_numpy_seed(seed, "kernel distance"))
    size = min(1000, samples // 2, reference // 2)
    for _ in range(subsets):
        yield random.choice(samples, size, replace=False), random.choice(reference, size, replace=False)


def _kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(x.y / D + 1)^3 of [N, D] and [M, D], [N, M]; in place, because new memory takes as long as the arithmetic."""
    k = x @ y.T
    k *= 1 / x.shape[1]
    k += 1
    return np.power(k, 3, out=k)


def _pairs(x: np.ndarray) -> np.floating:
    """Sum of the kernel over all pairs of different rows."""
    k = _kernel(x, x)
    return (k.sum(axis=1) - k.diagonal()).sum()


def standardise(features: Tensor, reference: Tensor) -> Tensor:
    """Features [N, D] minus the reference's mean, divided by its deviation, if that is not 0.

    For the kernel distance on small classifiers: the cube of features that are far from order 1 gives only noise.
    """
    return (features - reference.mean(dim=0)) / spread(reference)


def _threads_of_torch() -> threadpool_limits:
    return threadpool_limits(torch.get_num_threads(), user_api="blas")


def _numpy_seed(seed: int, stream: str) -> int:
    return rng.key(seed, stream) % np.iinfo(np.uint32).max
