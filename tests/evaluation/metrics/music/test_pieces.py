"""Against the notes that `Symbols` reads, piece by piece."""

import numpy as np

from src.data.music.notes import Note, Symbols
from src.evaluation.metrics.music.pieces import Pieces, whole, windows

SYMBOLS = Symbols.of(range(60, 70), ends=True)


def random_pieces(count: int = 40, steps: int = 24, voices: int = 3) -> Pieces:
    """Any symbols at all, as a model that has learnt nothing writes them; HOLD half of the time."""
    random = np.random.default_rng(0)
    x = random.integers(len(SYMBOLS.names), size=(count, steps, voices))
    x[random.random(x.shape) < 0.5] = SYMBOLS.names.index("hold")
    x[: count // 2][x[: count // 2] < 2] = SYMBOLS.names.index("rest")  # half of them have no end
    return Pieces(x, SYMBOLS.names)


def test_notes_of_random_symbols() -> None:
    pieces = random_pieces()
    assert 0 < (pieces.length == 24).sum() < 40
    for number, piece in enumerate(pieces.x):
        expected = sorted(SYMBOLS.decode(piece), key=lambda note: (note.voice, note.start))
        own = pieces.notes.piece == number
        fields = (pieces.notes.voice, pieces.notes.pitch, pieces.notes.start, pieces.notes.duration)
        assert [Note(*map(int, row)) for row in zip(*(field[own] for field in fields), strict=True)] == expected
        sounds = np.full((24, 3), -1)
        for note in expected:
            sounds[note.start : note.start + note.duration, note.voice] = note.pitch
        np.testing.assert_array_equal(pieces.sounds[number], sounds)
        assert pieces.onsets[number].sum() == len(expected)
        assert pieces.length[number] == SYMBOLS.length(piece)


def test_intervals_stay_within_a_voice() -> None:
    x = SYMBOLS.encode([Note(0, 62, 0, 2), Note(0, 65, 4, 4), Note(1, 60, 0, 8)], 8, 2)
    notes = Pieces(np.stack([x, x]), SYMBOLS.names).notes
    assert notes.follows.tolist() == [False, True, False] * 2
    assert notes.interval[notes.follows].tolist() == [3, 3]
    assert not len(Pieces(np.full((1, 8, 1), SYMBOLS.names.index("rest")), SYMBOLS.names).notes.follows)


def test_windows_are_whole() -> None:
    pieces = random_pieces()[np.arange(30, 40)]
    assert windows(pieces.sounds, 7).shape == (10, 3, 7, 3)
    assert (whole(pieces, 7).sum(axis=1) == pieces.length // 7).all()
