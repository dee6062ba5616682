import pytest

from src.config.errors import UserError
from src.data.music.keys import Key, estimate_key, to_key
from src.data.music.notes import Note


def test_keys_as_people_type_them() -> None:
    assert [Key.of(text) for text in ("G", "bb", "Em", "F# minor", "E♭ major")] == [
        Key(7, "major"),
        Key(10, "major"),
        Key(4, "minor"),
        Key(6, "minor"),
        Key(3, "major"),
    ]
    assert [Key.of(text).fifths for text in ("C", "G", "Bb", "Am", "F#m")] == [0, 1, -2, 0, 3]
    for text in ("H", "", "Gx", "A minus"):
        with pytest.raises(UserError, match="write a major key"):
            Key.of(text)


def test_scales_have_their_keys() -> None:
    scale = [60, 62, 64, 65, 67, 69, 71, 72]
    for shift in range(12):
        notes = [Note(0, pitch + shift, start, 4 if pitch in (60, 67, 72) else 2) for start, pitch in enumerate(scale)]
        assert estimate_key(notes) == Key(shift, "major")
    assert estimate_key([]) == Key(0, "major")


def test_transposition_is_the_short_way() -> None:
    assert to_key(Key.of("C"), Key.of("G")) == -5
    assert to_key(Key.of("C"), Key.of("F")) == 5
    assert to_key(Key.of("Am"), Key.of("Em")) == -5
    assert to_key(Key.of("Am"), Key.of("G")) == to_key(Key.of("Am"), Key.of("Em"))
