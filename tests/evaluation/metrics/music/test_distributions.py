import numpy as np
import pytest

from src.data.music.notes import Note, Symbols
from src.evaluation.metrics.music.distributions import (
    distances,
    groove_consistency,
    histograms,
    overlap,
    overlapped_area,
    scale_consistency,
)
from src.evaluation.metrics.music.pieces import Pieces

SYMBOLS = Symbols.of(range(48, 85))


def pieces(*notes: list[Note], steps: int = 16, voices: int = 1) -> Pieces:
    return Pieces(np.stack([SYMBOLS.encode(part, steps, voices) for part in notes]), SYMBOLS.names)


def test_histograms() -> None:
    found = histograms(pieces([Note(0, 60, 0, 4), Note(0, 79, 4, 1), Note(0, 60, 8, 8)], [], steps=20), bar=8)
    assert found["pitch_class"].tolist() == [[2, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0], [0] * 12]
    assert np.flatnonzero(found["interval"][0]).tolist() == [0, 24]  # a twelfth counts as an octave
    assert np.flatnonzero(found["duration"][0]).tolist() == [0, 3, 7]
    assert found["onsets"].tolist() == [
        [0, 1, 1, 0, 0, 0, 0, 0, 0],
        [2, 0, 0, 0, 0, 0, 0, 0, 0],
    ]  # without half a bar


def test_overlap() -> None:
    assert overlap(np.array([1, 1, 0]), np.array([0, 2, 2])) == 0.5
    assert overlap(np.array([1, 3]), np.array([10, 30])) == 1
    assert overlap(np.zeros(2), np.array([1, 1])) == 0


def test_overlapped_area() -> None:
    random = np.random.default_rng(0)
    real, same, other = (random.multinomial(30, p, size=200) for p in ([0.25] * 4, [0.25] * 4, [0.7, 0.1, 0.1, 0.1]))
    assert overlapped_area(same, real) > 0.95
    assert overlapped_area(other, real) < 0.5
    constant = np.tile([1, 0], (5, 1))
    assert overlapped_area(constant, constant) == 1
    assert overlapped_area(constant[:, ::-1], constant) == 0
    a, b = random.random((5, 3)), random.random((6, 3))
    np.testing.assert_allclose(distances(a, b), np.linalg.norm(a[:, None] - b, axis=2))


def test_consistency() -> None:
    c_major = np.bincount([0, 2, 4, 5, 7, 9, 11], minlength=12)
    assert scale_consistency(np.stack([c_major, np.roll(c_major, 3), np.zeros(12, int)])) == pytest.approx(1)
    assert scale_consistency(np.ones((1, 12), int)) == pytest.approx(7 / 12)
    beats = [Note(0, 60, start, 4) for start in (0, 4, 8, 12)]
    assert groove_consistency(pieces(beats), 8) == 1
    assert groove_consistency(pieces(beats[:3]), 8) == 1 - 1 / 8
    assert groove_consistency(pieces(beats), 16) == 0  # no second bar
