import math

import numpy as np
import pytest
from scipy import stats

from src.evaluation.intervals import holm, mean_interval, p_value, prediction_interval, wilson

# Student 1908, section IX: additional hours of sleep by the two optical isomers of hyoscyamine, patients 1 to 10.
FIRST = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
SECOND = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
SLEEP = [b - a for a, b in zip(FIRST, SECOND, strict=True)]


def test_mean_interval_by_hand() -> None:
    # n = 3, mean 2, s = 1; t of two degrees of freedom at 97.5 % is 4.302653 (any table of t)
    low, high = mean_interval([1.0, 2.0, 3.0])  # type: ignore[misc]
    assert low == pytest.approx(2 - 4.302653 / math.sqrt(3), abs=1e-6)
    assert high == pytest.approx(2 + 4.302653 / math.sqrt(3), abs=1e-6)


def test_prediction_interval_by_hand() -> None:
    low, high = prediction_interval([1.0, 2.0, 3.0])  # type: ignore[misc]
    assert low == pytest.approx(2 - 4.302653 * math.sqrt(4 / 3), abs=1e-6)
    assert high == pytest.approx(2 + 4.302653 * math.sqrt(4 / 3), abs=1e-6)


def test_students_own_data() -> None:
    # Published with R as `sleep`: t = 4.0621, df = 9, p = 0.002833, 95 % interval 0.7001142 to 2.4598858.
    assert mean_interval(SLEEP) == pytest.approx((0.7001142, 2.4598858), abs=1e-6)
    assert p_value(SLEEP) == pytest.approx(0.002833, abs=5e-7)
    assert p_value(SLEEP) == pytest.approx(stats.ttest_rel(SECOND, FIRST).pvalue, rel=1e-12)


def test_one_value_has_no_interval() -> None:
    assert mean_interval([3.0]) is None
    assert prediction_interval([3.0]) is None


def test_p_of_differences_that_do_not_scatter() -> None:
    assert p_value([0.0, 0.0, 0.0]) == 1.0
    assert p_value([0.5, 0.5, 0.5]) == 0.0


def test_holm_by_hand() -> None:
    # Sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1 = 0.02, 0.03, 0.06, 0.04; never below the one before it.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([0.03]) == [0.03]
    assert holm([]) == []


@pytest.mark.parametrize("n", [2, 5])
def test_the_intervals_hold_what_they_claim_as_often_as_they_claim(n: int) -> None:
    """Of 4,000 experiments, 95 % within four standard errors: too wide fails as too narrow does."""
    experiments = 4000
    draws = np.random.default_rng(0).normal(7.0, 2.0, (experiments, n + 1)).tolist()
    means = predicted = 0
    for *values, further in draws:
        low, high = mean_interval(values)  # type: ignore[misc]
        means += low <= 7.0 <= high
        low, high = prediction_interval(values)  # type: ignore[misc]
        predicted += low <= further <= high
    tolerance = 4 * math.sqrt(0.95 * 0.05 / experiments)
    assert means / experiments == pytest.approx(0.95, abs=tolerance)
    assert predicted / experiments == pytest.approx(0.95, abs=tolerance)


def test_p_values_are_uniform_where_there_is_no_difference() -> None:
    draws = np.random.default_rng(1).normal(0.0, 1.0, (2000, 5)).tolist()
    below = sum(p_value(differences) < 0.05 for differences in draws) / len(draws)
    assert below == pytest.approx(0.05, abs=4 * math.sqrt(0.05 * 0.95 / len(draws)))


@pytest.mark.parametrize(("successes", "total"), [(0, 1), (0, 10), (7, 10), (10, 10), (52, 100)])
def test_wilson_is_that_of_scipy(successes: int, total: int) -> None:
    expected = stats.binomtest(successes, total).proportion_ci(method="wilson")
    assert wilson(successes, total) == pytest.approx((expected.low, expected.high), abs=1e-12)
