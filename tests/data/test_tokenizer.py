"""Byte pairs: no text loses anything, and the same text gives the same symbols."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from src.config.errors import UserError
from src.data.tokenizer import BytePairs, unfamiliar
from src.data.vocabulary import BYTES, LOST, PAD, Vocabulary

STORY = "the quick brown fox, and the lazier foxes, jump over 12 lazy dogs;\n\tthey sleep.\n" * 20
CHINESE = "春眠不覺曉，處處聞啼鳥。夜來風雨聲，花落知多少。春眠，夜來風雨。\n" * 20
PAIRS = BytePairs.train(STORY + CHINESE, 420)


@pytest.mark.parametrize(
    "text",
    [
        STORY,
        CHINESE,
        "",
        "a note\r\nwith CR LF\r\n\r\n",
        "👩‍👩‍👧 🇨🇳 e\u0301 é",
        "龘𠀀未見之字",
        "\x00\ufeff\u2028  \t \n\n x  ",
        "<pad><end><unknown><0x41><0xE6>",
        LOST,
    ],
)
def test_round_trips_are_exact(text: str) -> None:
    symbols = PAIRS.encode(text)
    assert symbols.dtype == np.int64
    assert Vocabulary(PAIRS.names).decode(symbols.tolist()) == text
    assert Vocabulary(PAIRS.names).unfinished(symbols.tolist()) == 0
    assert sum(len(PAIRS.names[symbol]) for symbol in symbols if PAIRS.names[symbol] not in BYTES) + unfamiliar(symbols) == len(
        text
    )


def test_the_vocabulary() -> None:
    """Padding, bytes, every character of the training text, then pieces of words."""
    names = PAIRS.names
    assert names[:257] == (PAD, *BYTES)
    assert len(set(names)) == len(names) <= 420
    alphabet = sorted(set(STORY + CHINESE))
    assert list(names[257 : 257 + len(alphabet)]) == alphabet
    assert {"the", " lazy", "春眠"} <= set(names)
    assert len(PAIRS.encode(STORY)) < len(STORY) / 2
    assert unfamiliar(PAIRS.encode("a龘😀")) == 2


def test_texts_that_read_like_our_own_names() -> None:
    """A piece that is called like a byte would be taken for it."""
    text = "<0x41> <pad> <0x41> <pad>\n" * 50
    pairs = BytePairs.train(text, 300)
    assert len(set(pairs.names)) == len(pairs.names)
    assert Vocabulary(pairs.names).decode(pairs.encode(text).tolist()) == text
    assert not {0, 1 + 0x41} & set(pairs.encode(text).tolist())


def test_half_a_character_is_shown_and_counted() -> None:
    words = Vocabulary(PAIRS.names)
    half = PAIRS.encode("😀")[:2].tolist()
    a, lost = PAIRS.encode("a").tolist(), PAIRS.encode(LOST).tolist()
    assert words.decode([*half, *a, *half]) == f"{LOST}a{LOST}"
    assert words.unfinished([*half, *a, *half, *a, *lost]) == 2


def test_the_file_gives_the_same_tokenizer_and_another_process_the_same_file() -> None:
    again = BytePairs.load(PAIRS.file)
    assert again.names == PAIRS.names
    assert again.encode(STORY).tolist() == PAIRS.encode(STORY).tolist()
    code = (
        "import sys, hashlib; from src.data.tokenizer import BytePairs; assert 'tokenizers' not in sys.modules;"
        f"print(hashlib.sha256(BytePairs.train({STORY + CHINESE!r}, 420).file).hexdigest())"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == hashlib.sha256(PAIRS.file).hexdigest()


def test_what_it_refuses() -> None:
    for size, message in (
        (260, r"has 4 different characters, and 257 further .* take more than 261, or"),
        (50_000, "at most 40,000"),
    ):
        with pytest.raises(UserError, match=message) as error:
            BytePairs.train("abcd" * 9, size)
        assert "\n" not in str(error.value)
    with pytest.raises(UserError, match=r"tokenizer.json is damaged"):
        BytePairs.load(b"{}")
