"""Statistics of a few training seeds by Student's t: intervals of the mean and of one more value, tests of differences.
And the interval of a proportion.

All functions but `wilson` take one number per seed and assume that these are approximately normal. For few seeds this is better
than percentile bootstrap intervals. Those assume nothing, but contain the true mean too rarely (about 83 % instead of 95 % of
the time at five seeds).
"""

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

from scipy.special import ndtri, stdtr, stdtrit


class Interval(NamedTuple):
    low: float
    high: float


def mean_interval(values: Sequence[float], level: float = 0.95) -> Interval | None:
    """Confidence interval of the mean over all seeds: mean +- t s / sqrt(n); None for fewer than two values.

    Student 1908, "The probable error of a mean", Biometrika 6(1).
    """
    return _interval(values, level, scale=1 / len(values)) if len(values) > 1 else None


def prediction_interval(values: Sequence[float], level: float = 0.95) -> Interval | None:
    """Prediction interval of one further seed: mean +- t s sqrt(1 + 1/n); None for fewer than two values.

    Hahn 1969, "Factors for calculating two-sided prediction intervals for samples from a normal distribution", JASA 64.
    """
    return _interval(values, level, scale=1 + 1 / len(values)) if len(values) > 1 else None


def p_value(differences: Sequence[float]) -> float:
    """Two-sided p of the t-test that paired differences (one per common seed, at least two) have mean zero. Student 1908."""
    mean, deviation = statistics.fmean(differences), statistics.stdev(differences)
    if deviation == 0:  # t is infinite, or 0/0 if both sides are bitwise equal
        return 1.0 if mean == 0 else 0.0
    t = mean / (deviation / math.sqrt(len(differences)))
    return float(2 * stdtr(len(differences) - 1, -abs(t)))


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for multiple tests, in the given order. If those below alpha are rejected, the probability of any
    false rejection stays below alpha.

    Holm 1979, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6(2).
    """
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def wilson(successes: int, total: int, level: float = 0.95) -> Interval:
    """Score interval, within [0, 1], of the probability behind `successes` out of `total` (at least 1) independent trials.

    Unlike p +- z sqrt(p (1 - p) / n), it keeps its level for few trials and near 0 and 1.
    Wilson 1927, "Probable inference, the law of succession, and statistical inference", JASA 22.
    """
    z = float(ndtri((1 + level) / 2))
    share, weight = successes / total, z * z / total
    middle = (share + weight / 2) / (1 + weight)
    half = math.sqrt(weight * (share * (1 - share) + weight / 4)) / (1 + weight)
    return Interval(max(0.0, middle - half), min(1.0, middle + half))


def _interval(values: Sequence[float], level: float, scale: float) -> Interval:
    t = float(stdtrit(len(values) - 1, (1 + level) / 2))
    half = t * statistics.stdev(values) * math.sqrt(scale)
    mean = statistics.fmean(values)
    return Interval(mean - half, mean + half)
