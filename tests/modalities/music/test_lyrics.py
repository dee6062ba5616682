"""Words of songs: what is one syllable, and where lines end."""

import pytest

from src.config.errors import UserError
from src.modalities.music.lyrics import Syllable, read_lyrics


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("春眠不觉晓，处处闻啼鸟。", ["春 眠 不 觉 晓，", "处 处 闻 啼 鸟。"]),
        ("春眠不觉晓,处处闻啼鸟", ["春 眠 不 觉 晓,", "处 处 闻 啼 鸟"]),
        ("Twin-kle, twin-kle\nlit-tle star", ["Twin kle, twin kle", "lit tle star"]),
        ("Don't go! Stay.", ["Don't go!", "Stay."]),
        ("\n\nA - b\n。\n", ["A b"]),
        ("I 爱 you", ["I 爱 you"]),
    ],
)
def test_lines_of_syllables(text: str, expected: list[str]) -> None:
    assert [" ".join(syllable.text for syllable in line) for line in read_lyrics(text)] == expected


def test_words_of_several_syllables() -> None:
    (line,) = read_lyrics("won-der-ful life")
    assert line == (
        Syllable("won", True, False), Syllable("der", False, False), Syllable("ful", False, True), Syllable("life"),
    )  # fmt: skip


def test_nothing_to_sing() -> None:
    with pytest.raises(UserError, match="lyrics: there is no word to sing"):
        read_lyrics(" ，。-\n")
