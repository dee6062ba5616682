import numpy as np
import pytest

from src.evaluation.metrics.music.interpolation import crossfade, distances, monotone, shuffled

A, B = (np.full((1, 8, 1), symbol) for symbol in (0, 1))


def path(*rows: str) -> np.ndarray:
    """[1, S, 8, 1] of words such as "00001111"."""
    return np.array([[[int(symbol)] for symbol in row] for row in rows])[None]


def test_distances_are_shares_of_symbols() -> None:
    found = path("00000000", "01000002", "11111111")
    assert distances(found, A).tolist() == [[0, 0.25, 1]]
    assert distances(found, B).tolist() == [[1, 0.875, 0]]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (["00000000", "00001111", "11111111"], [1, 1, 1]),
        (["00000000", "00000000", "11111111"], [1, 1, 0.5]),  # stays, then jumps
        (["00000000", "11111111", "00001111", "11111111"], [0, 2 / 3, 1]),
        (["00000000", "22222222", "11111111"], [1, 1, 1]),  # as far from both as can be
        (["00000000", "00000111", "00022111", "11100000", "11111111"], [0, 0.75, 1]),  # the distance to b rises again
    ],
)
def test_steps_away_from_one_end_and_towards_the_other(rows: list[str], expected: list[float]) -> None:
    assert list(monotone(path(*rows), A, B).values()) == pytest.approx(expected)


def test_a_crossfade_is_monotone_and_its_steps_in_random_order_are_not() -> None:
    random = np.random.default_rng(0)
    a, b = random.integers(5, size=(2, 40, 32, 2))
    paths = crossfade(a, b, 8)
    assert paths.shape == (40, 8, 32, 2)
    assert np.array_equal(paths[:, 0], a)
    assert np.array_equal(paths[:, -1], b)
    assert monotone(paths, a, b) == {"monotone": 1, "monotone_steps": 1, "changing_steps": 1}
    mixed = shuffled(paths, random)
    assert np.array_equal(mixed[:, [0, -1]], paths[:, [0, -1]])
    assert np.array_equal(np.sort(mixed, axis=1), np.sort(paths, axis=1))
    found = monotone(mixed, a, b)
    assert found["monotone"] < 0.1 < found["monotone_steps"] < 0.9
