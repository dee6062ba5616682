"""Words as tokens."""

import numpy as np

from src.data.vocabulary import PAD, UNKNOWN
from src.data.words import Words, words

VOCABULARY = Words.of([["red", "apple"], ["green", "apple", "tree", "far", "away"]], length=4)


def test_words_are_runs_of_letters_and_digits_in_lower_case() -> None:
    assert words("Nine-thirty, the woman's PIÑATA_24!") == ["nine", "thirty", "the", "woman", "s", "piñata", "24"]


def test_the_vocabulary_is_of_the_words_that_a_caption_has_room_for() -> None:
    assert VOCABULARY.names == (PAD, UNKNOWN, "apple", "far", "green", "red", "tree")


def test_a_text_is_cut_or_padded() -> None:
    assert VOCABULARY.encode("A red apple").tolist() == [1, 5, 2, 0]
    assert VOCABULARY.encode("red red red red green").tolist() == [5, 5, 5, 5]
    assert VOCABULARY.encode("").tolist() == [0, 0, 0, 0]
    assert VOCABULARY.encode("red").dtype == np.int64
    assert VOCABULARY.decode(VOCABULARY.encode("Green apple")) == "green apple"


def test_unknown_words_are_named_once() -> None:
    assert VOCABULARY.unknown("a blue apple, a tree") == ["a", "blue"]
    assert not VOCABULARY.unknown("red tree")
