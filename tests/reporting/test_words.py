import pytest

from src.evaluation.intervals import Interval
from src.reporting.tables import Summary
from src.reporting.words import mean, number


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (138.3147, "138.3"),
        (1.93359, "1.934"),
        (0.21091, "0.2109"),
        (0.00003, "0.0000"),
        (0.0, "0"),
        (-0.0118, "-0.0118"),
        (61940.3, "61940"),
    ],
)
def test_numbers(value: float, words: str) -> None:
    assert number(value) == words


@pytest.mark.parametrize(
    ("middle", "half", "words"),
    [
        (3.25238, 0.0314, ("3.252", "± 0.031")),
        (138.31, 12.4, ("138", "± 12")),
        (9.7, 1.04, ("9.7", "± 1.0")),
        (0.0005, 0.0000012, ("0.0005", "± 0.0000")),
        (2.0, 0.0, ("2.000", "± 0")),
    ],
)
def test_a_mean_has_the_decimals_of_its_interval(middle: float, half: float, words: tuple[str, str]) -> None:
    assert mean(Summary({}, middle, Interval(middle - half, middle + half), None)) == words


def test_one_seed_has_no_interval() -> None:
    assert mean(Summary({0: 3.0}, 3.0, None, None)) == ("3.000", "")
    assert mean(None) == ("-", "")
