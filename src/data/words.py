"""Captions as tokens: one token for each word. Their vocabulary is `Field.names`."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from src.data.vocabulary import PAD, UNKNOWN


def words(text: str) -> list[str]:
    """The words of a text in lower case: runs of letters and digits ("nine-thirty" has two)."""
    return re.findall(r"[^\W_]+", text.lower())


@dataclass(frozen=True)
class Words:
    """The names of tokens, in the order of their numbers: PAD is 0, UNKNOWN is 1, then words. length: tokens of a caption."""

    names: tuple[str, ...]
    length: int

    @classmethod
    def of(cls, captions: Iterable[list[str]], length: int) -> "Words":
        """The words of captions, in the order of their letters; words after the first `length` of a caption are left out."""
        return cls((PAD, UNKNOWN, *sorted({word for caption in captions for word in caption[:length]})), length)

    def encode(self, text: str) -> np.ndarray:
        """Tokens int64 [length]: the first words of a text, then PAD; UNKNOWN for those that `unknown` names."""
        return self.encode_words(words(text))

    def encode_words(self, found: list[str]) -> np.ndarray:
        """`encode` for words."""
        tokens = np.full(self.length, self._numbers[PAD], np.int64)
        for place, word in enumerate(found[: self.length]):
            tokens[place] = self._numbers.get(word, self._numbers[UNKNOWN])
        return tokens

    def unknown(self, text: str) -> list[str]:
        """The words of a text that are not in the vocabulary, each once, in the order of the text."""
        return [word for word in dict.fromkeys(words(text)) if word not in self._numbers]

    def decode(self, tokens: Iterable[int]) -> str:
        """The words before the first PAD."""
        return " ".join(self.names[token] for token in tokens if self.names[token] != PAD)

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.names)}
