"""Pairs of texts: files made here, and conversations in the corpus's format; the real corpus where it has been downloaded."""

import hashlib
import json
import zipfile
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import pytest

from src.config.errors import UserError
from src.data.dataset import SPLITS, check_dataset
from src.data.dialogue import Conversations, Dialogue, Pairs, derive, pairs_of, read_lines
from src.data.sources import Derived

ROOT = Path(__file__).parents[2]


def write(path: Path, *values: Any) -> Path:
    path.write_text("".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values))
    return path


def read(data: Pairs, split: str) -> list[tuple[str, str]]:
    """(source, target) of each sample."""
    vocabulary, arrays = data._sequences.vocabulary, data.split(split)
    return [
        (vocabulary.decode(a.tolist()), vocabulary.decode(b.tolist()))
        for a, b in zip(arrays["source"], arrays["x"], strict=True)
    ]


def everything(data: Pairs) -> list[tuple[str, str]]:
    return sorted(pair for split in SPLITS for pair in read(data, split))


def found(data: Pairs) -> list[tuple[str, str]]:
    """(source, target) of all pairs before they become tokens: few texts have characters that training lacks."""
    return sorted(pair[:2] for pair in pairs_of(read_lines(data.path.read_text(), data.path, data.read_line))[0])


def message(data: Pairs) -> str:
    with pytest.raises(UserError) as error:
        data.prepare()
    assert "\n" not in str(error.value)
    return str(error.value)


def test_two_hundred_pairs(tmp_path: Path) -> None:
    lines = [{"source": f"question {number}", "target": f"answer {number}", "id": number} for number in range(200)]
    data = Pairs(write(tmp_path / "pairs.jsonl", *lines))
    data.prepare()
    check_dataset(data)
    assert [len(data.split(name)) for name in SPLITS] == [180, 10, 10]
    assert everything(data) == sorted((line["source"], line["target"]) for line in lines)
    assert list(data.spec.fields) == ["x", "length", "source", "source_length"]
    assert "conversations" not in data.notes()
    turned = Pairs(write(tmp_path / "turned.jsonl", *lines[::-1]))
    assert [read(turned, name) for name in SPLITS] == [read(data, name) for name in SPLITS]
    assert data.hashes() == {"pairs": hashlib.sha256((tmp_path / "pairs.jsonl").read_bytes()).hexdigest()}


def test_each_turn_is_a_reply_to_the_one_before(tmp_path: Path) -> None:
    data = Conversations(
        write(
            tmp_path / "chat.jsonl",
            {"turns": ["你好", "hello", "how are you?"]},
            ["a", "b"],
            ["c", "d"],
            ["e", "f"],
            ["alone"],
            [],
        )
    )
    assert found(data) == [("a", "b"), ("c", "d"), ("e", "f"), ("hello", "how are you?"), ("你好", "hello")]
    assert (data.notes()["conversations"], data.notes()["without_reply"], data.notes()["pairs"]) == (6, 2, 5)


def test_what_is_left_out_or_changed_is_counted(tmp_path: Path) -> None:
    lines = [
        ["hi", " hello "],
        ["hi", "hello"],
        ["", "x"],
        ["x", "  "],
        ["a", "b"],
        ["c", "d"],
        ["e", "long reply"],
        ["f", "g"],
    ]
    data = Conversations(write(tmp_path / "chat.jsonl", *lines), length=5)
    assert found(data) == [("a", "b"), ("c", "d"), ("e", "long reply"), ("f", "g"), ("hi", "hello")]
    notes = data.notes()
    assert {key: notes[key] for key in ("pairs", "stripped", "empty", "repeated", "too_long")} == {
        "pairs": 8,
        "stripped": 2,
        "empty": 2,
        "repeated": 1,
        "too_long": 1,
    }


def test_a_conversation_and_a_source_are_in_one_split(tmp_path: Path) -> None:
    """60 conversations of 4 turns; each of the first 20 begins as one of the next 20 does, but for case."""
    talks = [
        [f"Opening {number % 20}" if number < 20 else f"opening {number % 20}" if number < 40 else f"other {number}"]
        for number in range(60)
    ]
    talks = [[*talk, *(f"turn {turn} of {number}" for turn in range(3))] for number, talk in enumerate(talks)]
    data = Conversations(write(tmp_path / "chat.jsonl", *talks))
    place = {pair: name for name in SPLITS for pair in read(data, name)}
    assert set(place.values()) == set(SPLITS)
    for number, talk in enumerate(talks):
        of = talks[number + 20] if number < 20 else talk
        assert len({place[pair] for turns in (talk, of) for pair in pairwise(turns)}) == 1


def test_few_conversations_give_each_split_one(tmp_path: Path) -> None:
    data = Conversations(write(tmp_path / "chat.jsonl", *([f"line {n} of {talk}" for n in range(10)] for talk in range(3))))
    assert [len(data.split(name)) for name in SPLITS] == [9, 9, 9]
    large = [["the", "long", *map(str, range(500))], ["a", "b"], ["c", "d"]]
    assert len(Conversations(write(tmp_path / "large.jsonl", *large)).split("train")) == 501


def test_errors_name_the_line(tmp_path: Path) -> None:
    path, good = tmp_path / "pairs.jsonl", '{"source": "a", "target": "b"}\n'
    for line, words in {
        '{"source": "a"': "line 3: no JSON (Expecting ',' delimiter, column 15)",
        '{"source": "a"}': 'line 3: must be {"source": "...", "target": "..."}',
        '{"source": "a", "target": 3}': "line 3: must be",
        "[]": "line 3: must be",
        '{"source": "\\ud83d", "target": "b"}': "line 3: half of a surrogate pair",
    }.items():
        path.write_text(f"{good}\n{line}\n")
        assert words in message(Pairs(path))
    path.write_text(good * 5)
    assert "1 pairs with 1 unrelated sources: give at least 3" in message(Pairs(path))
    path.write_text('{"turns": ["a", 2]}\n')
    assert 'line 1: must be {"turns": ["...", "..."]} or' in message(Conversations(path))
    path.write_bytes(good.replace("a", "你好，世界").encode("gb18030"))
    assert "it is probably GB18030" in message(Pairs(path))
    assert "there is no such file" in message(Pairs(tmp_path / "none.jsonl"))
    with pytest.raises(UserError, match="english or chinese"):
        Dialogue(tmp_path, "latin")


GREETINGS = """categories:
- greetings
conversations:
- - Hello
  - Hi
- - Hi
  - Hello
- no list
- - "How is it going?"
  - Good
  - Nice.
"""


def test_the_corpus_becomes_conversations(tmp_path: Path) -> None:
    wheel = tmp_path / "chatterbot" / "corpus.whl"
    wheel.parent.mkdir()
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("chatterbot_corpus/data/english/greetings.yml", GREETINGS)
        archive.writestr("chatterbot_corpus/data/chinese/greetings.yml", "conversations:\n- - 你好\n  - 你好\n")
        archive.writestr("chatterbot_corpus/data/english/notes.txt", "other")
    made = derive(wheel)
    assert made["chinese.jsonl"].decode() == '{"turns": ["你好", "你好"]}\n'

    class Small(Dialogue):
        files: ClassVar = {name: hashlib.sha256(data).hexdigest() for name, data in made.items()}

    source = Derived(None, "corpus.whl", hashlib.sha256(wheel.read_bytes()).hexdigest(), derive)  # type: ignore[arg-type]
    data = Small(wheel.parent, sources=[source])
    data.prepare()
    check_dataset(data)
    assert found(data) == [("Good", "Nice."), ("Hello", "Hi"), ("Hi", "Hello"), ("How is it going?", "Good")]
    assert (data.notes()["conversations"], data.notes()["without_reply"]) == (4, 1)
    assert data.hashes().keys() == {"english.jsonl"}


@pytest.mark.parametrize(("language", "pairs", "repeated"), [("english", 2306, 1130), ("chinese", 552, 2)])
def test_the_real_corpus(language: str, pairs: int, repeated: int) -> None:
    folder = ROOT / "data" / "chatterbot"
    if not all((folder / name).is_file() for name in Dialogue.files):
        pytest.skip("data/chatterbot is not there: python -m src.prepare data=dialogue gets it")
    data = Dialogue(folder, language)
    data.prepare()
    check_dataset(data)
    notes = data.notes()
    assert (notes["pairs"], notes["repeated"]) == (pairs, repeated)
    assert sum(len(data.split(name)) for name in SPLITS) == pairs - repeated - notes["too_long"]
    held_out = {source.casefold() for name in SPLITS[1:] for source, _ in read(data, name)}
    assert not held_out & {source.casefold() for source, _ in read(data, "train")}
