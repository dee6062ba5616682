import numpy as np
import pytest

from src.config.errors import UserError
from src.data.music.notes import HOLD, REST, Note, Symbols, bar_steps, pitch_name, pitch_of, sounding
from src.data.vocabulary import END


def test_symbols_tell_held_from_repeated_notes() -> None:
    symbols = Symbols.of([60, 64])
    notes = [Note(0, 60, 1, 2), Note(0, 60, 3, 1), Note(0, 64, 6, 2)]
    found = symbols.encode(notes, steps=8)
    assert [symbols.names[symbol] for symbol in found[:, 0]] == ["rest", "C4", "hold", "C4", "rest", "hold", "E4", "hold"]
    assert symbols.decode(found) == notes
    assert sounding(found, symbols.names)[:, 0].tolist() == [-1, 60, 60, 60, -1, -1, 64, 64]


def test_random_pieces_survive() -> None:
    rng, symbols = np.random.default_rng(0), Symbols.of(range(48, 80), ends=True)
    for _ in range(20):
        notes, steps = [], 64
        for voice in range(4):
            start = int(rng.integers(4))
            while start < steps - 4:
                duration = int(rng.integers(1, 5))
                notes.append(Note(voice, int(rng.integers(48, 80)), start, duration))
                start += duration + int(rng.integers(3))
        assert symbols.decode(symbols.encode(notes, steps, 4)) == sorted(notes, key=lambda note: (note.start, note.voice))


def test_a_piece_ends_at_its_end() -> None:
    symbols = Symbols.of([60, 62], ends=True)
    column = [symbols.names.index(name) for name in ("C4", "hold", "D4", "<end>", "<pad>", "<pad>")]
    piece = np.array(column)[:, None]
    assert symbols.length(piece) == 3
    assert symbols.decode(piece) == [Note(0, 60, 0, 2), Note(0, 62, 2, 1)]
    assert sounding(piece, symbols.names)[:, 0].tolist() == [60, 60, 62, -1, -1, -1]


def test_a_piece_of_nothing_has_no_notes() -> None:
    symbols = Symbols.of([60], ends=True)
    for name in (END, HOLD, REST):
        assert symbols.decode(np.full((3, 2), symbols.names.index(name))) == []


def test_what_the_grid_cannot_hold_is_refused() -> None:
    symbols = Symbols.of([60])
    with pytest.raises(ValueError, match="overlaps"):
        symbols.encode([Note(0, 60, 0, 4), Note(0, 60, 2, 2)], steps=8)
    with pytest.raises(ValueError, match="no D4"):
        symbols.encode([Note(0, 62, 0, 4)], steps=8)


def test_names() -> None:
    assert [pitch_name(pitch) for pitch in (60, 61, 59, 0)] == ["C4", "C#4", "B3", "C-1"]
    assert all(pitch_of(pitch_name(pitch)) == pitch for pitch in range(128))
    assert [bar_steps(metre) for metre in ("4/4", "6/8", "3/4", "2/2")] == [16, 12, 12, 16]
    with pytest.raises(UserError, match="write it as"):
        bar_steps("four")
