import numpy as np
import pytest

from src.config.errors import UserError
from src.data.dataset import SPLITS
from src.data.sequences import Entry, Sequences
from src.data.vocabulary import SPECIAL

TEXTS = {"train": ["ab", "b", "abca"], "validation": ["cx"], "test": ["a"]}


def test_texts_their_ends_and_their_lengths() -> None:
    data = Sequences({name: [Entry(text) for text in texts] for name, texts in TEXTS.items()}, length=4)
    assert data.vocabulary.names == (*SPECIAL, "a", "b", "c")
    assert {name: (field.kind, field.shape, field.dtype) for name, field in data.spec.fields.items()} == {
        "x": ("tokens", (5,), "int64"),
        "length": ("length", (), "int64"),
    }
    assert data.spec.x.names == data.vocabulary.names
    assert data.splits["train"]["x"].tolist() == [[3, 4, 1, 0, 0], [4, 1, 0, 0, 0], [3, 4, 5, 3, 1]]
    assert data.splits["train"]["length"].tolist() == [3, 2, 5]
    assert data.splits["validation"]["x"].tolist() == [[5, 2, 1, 0, 0]]
    assert data.notes() == {"vocabulary": 6, "too_long": 0, "unknown_validation": 1, "unknown_test": 0}


def test_sources_and_classes() -> None:
    entries = {name: [Entry(text, text.upper(), 1) for text in texts] for name, texts in TEXTS.items()}
    data = Sequences(entries, length=4, source_length=6, classes=("no", "yes"))
    assert list(data.spec.fields) == ["x", "length", "source", "source_length", "y"]
    assert data.spec.fields["source"].names == data.spec.x.names == (*SPECIAL, *"ABCabc")
    assert data.splits["test"].fields.keys() == data.spec.fields.keys()
    batch = data.splits["train"].batch(np.array([2]))
    assert batch["source"].shape == (1, 7)
    assert data.vocabulary.decode(batch["source"][0].tolist()) == "ABCA"
    assert batch["source_length"].tolist() == [5]
    assert batch["y"].tolist() == [1]
    assert data.notes()["unknown_validation"] == 2  # of the text and of its source


def test_what_is_too_long_is_left_out_and_counted() -> None:
    entries = {name: [Entry("a", "b"), Entry("aaa", "b"), Entry("a", "bbb")] for name in SPLITS}
    data = Sequences(entries, length=2, source_length=2)
    assert [len(data.splits[name]) for name in SPLITS] == [1, 1, 1]
    assert data.notes()["too_long"] == 6


def test_errors() -> None:
    entries = {name: [Entry(text) for text in texts] for name, texts in TEXTS.items()}
    with pytest.raises(UserError, match=r"no text is left for validation \(train 1, validation 0, test 1; 3 are too long\)"):
        Sequences(entries, length=1)
    with pytest.raises(UserError, match="at least 1 character"):
        Sequences(entries, length=0)
