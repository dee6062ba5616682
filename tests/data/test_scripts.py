"""Scripts, with vocabularies small enough to see what can be chosen."""

import subprocess
import sys

import pytest

from src.data.scripts import convert, read

TRADITIONAL = set("春風後后雲云發髮頭裡山水，")
SIMPLIFIED = set("春风后云发头里山水，")


@pytest.mark.parametrize(
    ("typed", "known", "text", "choices"),
    [
        ("春风", TRADITIONAL, "春風", {}),
        ("春風", TRADITIONAL, "春風", {}),
        ("春風", SIMPLIFIED, "春风", {}),
        ("头发", TRADITIONAL, "頭髮", {"发": "發髮"}),
        ("发生", TRADITIONAL, "發生", {"发": "發髮"}),
        ("白云", TRADITIONAL, "白雲", {"云": "云雲"}),  # known, but the whole text is simplified
        ("風云", TRADITIONAL, "風云", {"云": "云雲"}),  # known: it stays, and it is said that there is another
        ("白云", SIMPLIFIED, "白云", {}),
        ("裏", TRADITIONAL, "裡", {}),  # another form of the same character
        ("里，龙a😀", TRADITIONAL, "裡，龙a😀", {}),
        ("春", set("abc"), "春", {}),
        ("", TRADITIONAL, "", {}),
    ],
)
def test_texts_are_read_in_the_script_of_the_data(typed: str, known: set[str], text: str, choices: dict[str, str]) -> None:
    assert read(typed, known) == (text, choices)


def test_conversion_of_whole_texts() -> None:
    assert convert("春風得意，乾坤乾淨", "simplified") == "春风得意，乾坤干净"
    assert convert("白发，发生", "traditional") == "白髮，發生"
    assert convert("to be", "traditional") == "to be"


def test_opencc_is_imported_when_a_text_needs_it() -> None:
    code = "import sys; from src.data.scripts import read; read('spring', set('abc')); sys.exit('opencc' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
