"""Text files, made here."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from src.config.errors import UserError
from src.data.dataset import SPLITS
from src.data.text import Text
from src.data.vocabulary import UNKNOWN, Vocabulary

WORDS = "the quick brown fox jumps over the lazy dog\n" * 60  # 2,640 characters


def write(folder: Path, text: str = WORDS, name: str = "book.txt") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())
    return path


def read(data: Text, rows: np.ndarray) -> list[str]:
    """Tokens [N, length] as strings."""
    return ["".join(data.spec.x.names[token] for token in row) for row in rows]


def message(path: Path, **settings) -> str:
    with pytest.raises(UserError) as error:
        Text(path, **settings).prepare()
    assert "\n" not in str(error.value)
    return str(error.value)


def test_the_spec_says_what_the_arrays_are(tmp_path: Path) -> None:
    data = Text(write(tmp_path), length=16)
    data.prepare()
    assert (data.spec.kind, data.spec.shape, data.spec.x.dtype) == ("tokens", (16,), "int64")
    assert data.spec.x.names == (UNKNOWN, *sorted(set(WORDS)))
    for name in SPLITS:
        x = data.split(name)["x"]
        assert x.dtype == np.int64
        assert x.shape == (len(data.split(name)), 16)
        batch = data.split(name).batch(np.array([[0, 1], [1, 0]]))
        assert list(batch) == ["x"]
        assert batch["x"].shape == (2, 2, 16)


def test_splits_are_parts_of_the_text_one_after_the_other(tmp_path: Path) -> None:
    """Of 2,640 characters 264 are for validation, the last 264 for the test."""
    data = Text(write(tmp_path), length=16, validation=0.1, test=0.1)
    train, validation, test = (read(data, data.split(name)["x"]) for name in SPLITS)
    assert "".join(train[::2]) == WORDS[: 2112 // 16 * 16]
    assert train[1] == WORDS[8:24]
    assert len(train) == (2112 - 16) // 8 + 1
    assert "".join(validation) == WORDS[2112 : 2112 + 256]
    assert "".join(test) == WORDS[2376 : 2376 + 256]


def test_characters_that_training_lacks_are_unknown_and_counted(tmp_path: Path) -> None:
    data = Text(write(tmp_path, WORDS + "ÄÖ" + WORDS[:20]), length=4)
    data.prepare()
    assert "Ä" not in data.spec.x.names
    assert (data.split("test")["x"] == 0).sum() == 2
    assert not (data.split("train")["x"] == 0).any()
    assert data.notes() == {
        "characters": 2662,
        "vocabulary": 29,
        "crlf": 0,
        "unknown_validation": 0,
        "unknown_test": 2,
    }


def test_bytes_that_are_no_characters(tmp_path: Path) -> None:
    """A byte order mark goes, CR LF becomes LF; a lone CR, and characters of any plane, stay."""
    data = Text(write(tmp_path, "\ufeff" + "a\r\nb\rc 水 🜁\n" * 100), length=11)
    data.prepare()
    assert read(data, data.split("train")["x"])[0] == "a\nb\rc 水 🜁\na"
    assert data.notes()["crlf"] == 100
    assert "\ufeff" not in data.spec.x.names


def test_a_folder_is_its_text_files_in_the_order_of_their_names(tmp_path: Path) -> None:
    folder = tmp_path / "books"
    for name, text in {"b.txt": "B" * 400, "a/z.md": "A" * 400 + "\n", ".c.txt": "hidden", "d.pdf": "other"}.items():
        write(folder, text, name)
    write(folder, "D" * 400, "e.TXT")
    data = Text(folder, length=3)
    data.prepare()
    assert list(data.hashes()) == ["a/z.md", "b.txt", "e.TXT"]
    assert data.hashes()["b.txt"] == hashlib.sha256(b"B" * 400).hexdigest()
    train = "".join(read(data, data.split("train")["x"][:, :1]))
    assert train.startswith("A" * 400 + "\n" + "B" * 400 + "\n" + "D")
    assert data.notes()["characters"] == 1202


def test_two_readings_are_the_same(tmp_path: Path) -> None:
    path = write(tmp_path)
    a, b = Text(path), Text(path)
    assert a.spec == b.spec
    assert a.hashes() == b.hashes() == {"text": hashlib.sha256(WORDS.encode()).hexdigest()}
    assert np.array_equal(a.split("train")["x"], b.split("train")["x"])


def test_what_is_not_read_is_counted_by_kind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "texts").mkdir()
    write(tmp_path / "texts")
    (tmp_path / "texts" / "page.html").write_text("")
    (tmp_path / "texts" / "away.txt").symlink_to(tmp_path / "gone")
    os.mkfifo(tmp_path / "texts" / "pipe.txt")
    data = Text(tmp_path / "texts")
    data.prepare()
    assert list(data.hashes()) == ["book.txt"]
    assert capsys.readouterr().out == f"{tmp_path}/texts: left out: 1 .html, 1 dangling link, 1 no regular file\n"


def test_the_home_folder_may_be_written_as_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path)
    Text("~/book.txt", length=16).prepare()


# Pieces of words


def test_pieces_of_words(tmp_path: Path) -> None:
    """All characters are there once, in their split; the last sample of unseen text is padded."""
    text = WORDS + "Ä😀" + WORDS[:20]
    data = Text(write(tmp_path, text), length=8, validation=0.1, test=0.1, encoding="bpe", vocabulary=320)
    data.prepare()
    assert list(data.spec.fields) == ["x", "length"]
    assert data.spec.shape == (8,)
    assert {" quick", "fox"} & set(data.spec.x.names)
    words, held_out = Vocabulary(data.spec.x.names), 266  # a tenth of 2,662 characters
    for name, part in zip(SPLITS[1:], (text[-2 * held_out : -held_out], text[-held_out:]), strict=True):
        split = data.split(name)
        x, length = split["x"], split["length"]
        assert words.decode(x.ravel().tolist()) == part
        assert length.sum() == (x != 0).sum()
        assert set(length[:-1]) <= {8}
    train = data.split("train")
    assert (
        words.decode(train["x"][::2].ravel().tolist())
        == text[: -2 * held_out][: len(words.decode(train["x"][::2].ravel().tolist()))]
    )
    assert set(train["length"]) == {8}
    assert data.notes().items() >= {"unknown_validation": 0, "unknown_test": 2, "vocabulary": len(data.spec.x.names)}.items()


def test_what_was_learned_is_used_again(tmp_path: Path) -> None:
    """Also for another text, which would give other pieces."""
    data, other = (
        Text(write(tmp_path, text, name), encoding="bpe", vocabulary=310) for text, name in ((WORDS, "a"), (WORDS[::-1], "b"))
    )
    assert data.learned() == Text(tmp_path / "a", encoding="bpe", vocabulary=310).learned()
    assert other.spec != data.spec
    other.restore(data.learned())
    assert (other.spec, other.learned()) == (data.spec, data.learned())
    assert Text(tmp_path / "a").learned() == {}


def test_errors_are_one_line(tmp_path: Path) -> None:
    assert "there is no such file or folder" in message(tmp_path / "none.txt")
    assert "no text files" in message(tmp_path)
    latin = tmp_path / "latin.txt"
    latin.write_bytes(b"caf" + b"\xe9" + b" noir")
    assert "latin.txt is not UTF-8: byte 0xe9 at offset 3 (invalid continuation byte)" in message(latin)
    marked = tmp_path / "marked.txt"
    marked.write_bytes(b"\xef\xbb\xbfcaf\xff")
    assert "byte 0xff at offset 6" in message(marked)
    short = message(write(tmp_path, WORDS[:1000]))
    assert "1,000 characters give too few samples of 64: 27 for train (20 needed), 0 for validation (2 needed)" in short
    assert "0 characters" in message(write(tmp_path, ""))
    assert "at least 1 character" in message(tmp_path, length=0)
    assert "leave a part for training" in message(tmp_path, validation=0.5, test=0.5)
    assert "leave a part for training" in message(tmp_path, test=0.0)
    assert "data.encoding=words: must be characters or bpe" in message(tmp_path, encoding="words")
    assert "characters give too few samples of 64 pieces: " in message(tmp_path / "book.txt", encoding="bpe", vocabulary=300)
    book = write(tmp_path, WORDS)
    assert "28 different characters" in message(book, encoding="bpe", vocabulary=280)
    chinese = tmp_path / "chinese.txt"
    chinese.write_bytes("春眠不覺曉，處處聞啼鳥。".encode("gb18030"))
    assert "it is probably GB18030: iconv -f GB18030 -t UTF-8" in message(chinese)
