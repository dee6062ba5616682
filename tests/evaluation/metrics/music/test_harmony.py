import numpy as np
import pytest

from src.data.music.notes import Note, Symbols
from src.evaluation.metrics.music.harmony import CONSONANCE, TONAL, Fit, chord_tones, fit_of, pitch_consonance, tonal_distance
from src.evaluation.metrics.music.pieces import Pieces

SYMBOLS = Symbols.of(range(36, 85))
C_MAJOR = [Note(1, 64, 0, 8), Note(2, 55, 0, 8), Note(3, 48, 0, 8)]


def pieces(melody: list[tuple[int, int, int]], chord: list[Note]) -> Pieces:
    return Pieces(SYMBOLS.encode([Note(0, *note) for note in melody] + chord, 8, 4)[None], SYMBOLS.names)


def test_chord_tones() -> None:
    assert chord_tones(Fit.of(pieces([(72, 0, 8)], C_MAJOR), 4)) == 1
    assert chord_tones(Fit.of(pieces([(72, 0, 4), (74, 4, 2), (76, 6, 2)], C_MAJOR), 4)) == 1  # the D resolves
    assert chord_tones(Fit.of(pieces([(72, 0, 4), (76, 4, 2), (74, 6, 2)], C_MAJOR), 4)) == 0.75  # the D does not
    assert chord_tones(Fit.of(pieces([(72, 0, 4), (74, 4, 2), (79, 6, 2)], C_MAJOR), 4)) == 0.75


def test_pitch_consonance() -> None:
    assert pitch_consonance(Fit.of(pieces([(72, 0, 8)], C_MAJOR), 4)) == pytest.approx((1 + 0 + 1) / 3)  # above C, G, E
    assert pitch_consonance(Fit.of(pieces([(74, 0, 8)], C_MAJOR), 4)) == pytest.approx((-1 + 1 - 1) / 3)
    assert [CONSONANCE[n] for n in (0, 3, 4, 7, 8, 9)] == [1] * 6
    assert CONSONANCE.sum() == 6 + 0 - 5


def test_tonal_distance() -> None:
    """Harte's centroid by its sum."""

    def centroid(chord: set[int]) -> np.ndarray:
        circles = ((7 * np.pi / 6, 1), (3 * np.pi / 2, 1), (2 * np.pi / 3, 0.5))
        terms = [[r * f(pitch * angle) for angle, r in circles for f in (np.sin, np.cos)] for pitch in chord]
        return np.sum(terms, axis=0) / len(chord)

    np.testing.assert_allclose(TONAL[5], centroid({5}), atol=1e-12)
    expected = np.linalg.norm(centroid({2}) - centroid({0, 4, 7}))
    assert tonal_distance(Fit.of(pieces([(74, 0, 8)], C_MAJOR), 4)) == pytest.approx(expected)
    near = tonal_distance(Fit.of(pieces([(72, 0, 8)], C_MAJOR), 4))
    assert near < expected < tonal_distance(Fit.of(pieces([(73, 0, 8)], C_MAJOR), 4))


def test_what_does_not_count() -> None:
    """Rests of the melody, beats without a chord, and notes of other voices that begin within a beat."""
    late = [Note(1, 64, 0, 4), Note(2, 60, 0, 4), Note(3, 61, 2, 2)]
    fit = Fit.of(pieces([(72, 1, 7)], late), 4)
    assert fit.pitch.tolist() == [72] * 3
    assert (fit.chord == np.isin(np.arange(12), [0, 4])).all()
    assert fit_of(pieces([], late), 4) == fit_of(pieces([(72, 0, 8)], []), 4) == {"ctnctr": 0, "pcs": 0, "mctd": 0}
