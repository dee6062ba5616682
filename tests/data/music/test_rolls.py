import numpy as np

from src.data.music.notes import Note, Symbols
from src.data.music.rolls import ON, roll_to_symbols, symbols_to_roll


def test_rolls_keep_music() -> None:
    symbols = Symbols.of(range(50, 81))
    rng = np.random.default_rng(0)
    pieces = []
    for _ in range(20):
        notes = []
        for voice in range(3):
            start = int(rng.integers(0, 5))
            while start < 30:
                duration = min(int(rng.integers(1, 6)), 32 - start)
                notes.append(Note(voice, int(rng.integers(50, 81)), start, duration))
                start += duration + int(rng.integers(0, 2) * rng.integers(0, 4))
        pieces.append(symbols.encode(notes, 32, 3))
    x = np.stack(pieces)
    roll = symbols_to_roll(x, symbols.names)
    assert (roll.shape, roll.dtype) == ((20, 6, 32, 31), np.uint8)
    assert set(np.unique(roll)) == {0, ON}
    for piece, picture in zip(x, roll, strict=True):
        for voice in range(3):
            expected = np.zeros((2, 32, 31), np.uint8)
            for note in symbols.decode(piece):
                if note.voice == voice:
                    expected[0, note.start : note.start + note.duration, note.pitch - 50] = ON
                    expected[1, note.start, note.pitch - 50] = ON
            assert np.array_equal(picture[2 * voice : 2 * voice + 2], expected)
    assert np.array_equal(roll_to_symbols(roll, symbols.names), x)
    assert np.array_equal(roll_to_symbols(roll / 127.5 - 1, symbols.names), x)  # as a network draws it
    assert np.array_equal(roll_to_symbols(roll[0], symbols.names), x[0])
