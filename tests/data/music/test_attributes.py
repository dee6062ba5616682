import numpy as np
import pytest

from src.config.errors import UserError
from src.data.music.attributes import attribute, heights_of, notes_of
from src.data.music.notes import Note, Symbols

SYMBOLS = Symbols.of(range(60, 73))


def piece(*notes: tuple[int, int, int]) -> np.ndarray:
    """[8, 1] of notes (pitch, start, duration)."""
    return SYMBOLS.encode([Note(0, *note) for note in notes], 8)


X = np.stack([piece((60, 0, 8)), piece((60, 0, 2), (64, 4, 2)), piece(), piece((72, 0, 1), (72, 1, 1), (71, 2, 6))])


def test_measures_by_hand() -> None:
    """Rests count nothing: 60 and 64 sound for two steps each."""
    assert notes_of(X, SYMBOLS.names).tolist() == [1, 2, 0, 3]
    heights = heights_of(X, SYMBOLS.names)
    assert heights[[0, 1, 3]].tolist() == [60, 62, (2 * 72 + 6 * 71) / 8]
    assert np.isnan(heights[2])


def test_most_and_least() -> None:
    has, lacks = attribute("notes", X, SYMBOLS.names)
    assert has.tolist() == [False, False, False, True]
    assert lacks.tolist() == [False, False, True, False]
    has, lacks = attribute("height", X, SYMBOLS.names)
    assert has.tolist() == [False, False, False, True]
    assert lacks.tolist() == [True, False, False, False]
    for word, opposite, measure in (("higher", "lower", "height"), ("more_notes", "fewer_notes", "notes")):
        found = [attribute(name, X, SYMBOLS.names) for name in (word, opposite, measure)]
        assert np.array_equal(found[0], found[2])
        assert np.array_equal(found[1][::-1], found[2])
    has, lacks = attribute("notes", X[[0, 0]], SYMBOLS.names)
    assert not (has | lacks).any()


def test_classes() -> None:
    classes, y = ("4/4 major", "4/4 minor", "6/8 major"), np.array([1, 0, 2, 1])
    assert attribute("minor", X, SYMBOLS.names, y, classes)[0].tolist() == [True, False, False, True]
    has, lacks = attribute("6/8", X, SYMBOLS.names, y, classes)
    assert has.tolist() == [False, False, True, False]
    assert (has ^ lacks).all()
    for name in ("waltz", "minor"):
        with pytest.raises(UserError, match=f"attribute={name}: must be more_notes, fewer_notes, higher, lower or a word"):
            attribute(name, X, SYMBOLS.names, None if name == "minor" else y, classes)
