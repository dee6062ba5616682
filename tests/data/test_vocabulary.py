import numpy as np
import pytest

from src.data.vocabulary import END, PAD, SPECIAL, UNKNOWN, Vocabulary


def test_special_tokens_come_first_then_characters_by_code_point() -> None:
    vocabulary = Vocabulary.of(["樓山", "ab山", ""])
    assert vocabulary.names == (PAD, END, UNKNOWN, "a", "b", "山", "樓")
    assert Vocabulary.of([]).names == SPECIAL


def test_strings_to_tokens_and_back() -> None:
    vocabulary = Vocabulary.of(["a\n🜁山"])
    tokens = vocabulary.encode("山\na🜁")
    assert tokens.dtype == np.int64
    assert [vocabulary.names[token] for token in tokens] == ["山", "\n", "a", "🜁"]
    assert vocabulary.decode(tokens.tolist()) == "山\na🜁"
    assert vocabulary.encode("").shape == (0,)


def test_unknown_characters_become_one_token_and_can_be_named() -> None:
    vocabulary = Vocabulary.of(["abc"])
    assert [vocabulary.names[token] for token in vocabulary.encode("axb")] == ["a", UNKNOWN, "b"]
    assert vocabulary.unknown("xaybx") == "xy"
    assert Vocabulary.of([]).encode("a").tolist() == [2]
    with pytest.raises(ValueError, match="not in the vocabulary: xy"):
        Vocabulary(("a", "b")).encode("yax")


def test_padded_texts_end_once() -> None:
    vocabulary = Vocabulary.of(["abc"])
    tokens, length = vocabulary.encode_padded(["abc", "", "b"], 5)
    assert tokens.tolist() == [[3, 4, 5, 1, 0], [1, 0, 0, 0, 0], [4, 1, 0, 0, 0]]
    assert length.tolist() == [4, 1, 2]
    assert [vocabulary.decode(row) for row in tokens.tolist()] == ["abc", "", "b"]
    assert vocabulary.encode_padded([], 3)[0].shape == (0, 3)


def test_pieces_of_text_decode_too() -> None:
    assert Vocabulary((PAD, END, "the ", "quick")).decode([2, 3, 0, 1, 2]) == "the quick"
    with pytest.raises(ValueError, match="tokens 0 to 4, but the vocabulary has 0 to 3"):
        Vocabulary((PAD, END, "a", "b")).decode([0, 4])
