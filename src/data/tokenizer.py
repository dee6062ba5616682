"""Byte-pair encoding (Sennrich et al. 2016, arXiv:1508.07909) by Hugging Face's tokenizers, which is imported lazily.

The symbols are pieces of words, of whole characters. A character that the training text lacks is written as its UTF-8 bytes,
for which there are 256 symbols, so that no text loses anything.
"""

import json
import os
from functools import cached_property
from typing import Any, Self

import numpy as np

from src.config.errors import UserError
from src.data.vocabulary import BYTES, PAD, SPECIAL

FILE = "tokenizer.json"
MOST = 40_000  # symbols: what counts n-grams of four takes no more
LONGEST = 16  # characters of a piece
# Pieces stay within words, numbers, and runs of signs or of white space; a word has the space before it.
WORDS = r" ?[\p{L}\p{M}\p{N}]+| ?[^\s\p{L}\p{M}\p{N}]+|\s+(?!\S)|\s+"


class BytePairs:
    """Text to symbols. The vocabulary is PAD, BYTES, the characters of the training text, and pieces of several characters."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    @classmethod
    def train(cls, text: str, size: int) -> Self:
        """Learn `size` symbols, or as many as there are: pieces occur twice or more. The same text gives the same ones."""
        library = _library()
        fixed, characters = (PAD, *BYTES), len(set(text))
        if size > MOST:
            raise UserError(f"data.vocabulary={size}: at most {MOST:,} symbols: make it smaller")
        if size <= len(fixed) + characters:
            raise UserError(
                f"data.vocabulary={size}: the training text has {characters:,} different characters, and {len(fixed)} further "
                f"symbols are for bytes and padding: take more than {len(fixed) + characters:,}, or data.encoding=characters"
            )
        learner = library.Tokenizer(library.models.BPE())
        learner.pre_tokenizer = _split_words(library)
        options = {"show_progress": False, "min_frequency": 2, "max_token_length": LONGEST}
        learner.train_from_iterator([text], library.trainers.BpeTrainer(vocab_size=size - len(fixed), **options))
        model = json.loads(learner.to_str())["model"]
        # Text may read like one of our own names, "<pad>" or "<0x41>": no piece is called so.
        own = {*SPECIAL, *BYTES}
        names = [name for name in sorted(model["vocab"], key=model["vocab"].get) if name not in own]
        known = set(names)
        merges = [(a, b) for a, b in model["merges"] if {a, b, a + b} <= known]
        vocabulary = {name: number for number, name in enumerate((*fixed, *names))}
        tokenizer = library.Tokenizer(library.models.BPE(vocabulary, merges, byte_fallback=True))
        tokenizer.pre_tokenizer = _split_words(library)
        return cls(tokenizer)

    @classmethod
    def load(cls, data: bytes) -> Self:
        """From the bytes of `file`; UserError for others."""
        try:
            return cls(_library().Tokenizer.from_str(data.decode()))
        except Exception as error:  # the library raises no narrower class
            raise UserError(f"{FILE} is damaged ({' '.join(str(error).split())}): restore an intact copy") from error

    @cached_property
    def file(self) -> bytes:
        """The contents of FILE."""
        return self._tokenizer.to_str(pretty=True).encode()

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The symbols as text, in the order of their numbers; BYTES for bytes."""
        vocabulary = self._tokenizer.get_vocab()
        return tuple(sorted(vocabulary, key=vocabulary.get))

    def encode(self, text: str) -> np.ndarray:
        """int64 [number of symbols]; Vocabulary(names).decode gives the very text."""
        return np.array(self._tokenizer.encode(text).ids, np.int64)


def _split_words(library: Any) -> Any:
    return library.pre_tokenizers.Split(library.Regex(WORDS), behavior="isolated")


def _library() -> Any:
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # its threads do not survive the fork of data.workers
    import tokenizers

    return tokenizers


def unfamiliar(symbols: np.ndarray) -> int:
    """How many characters of these symbols are written as bytes: one for each byte that begins a character."""
    begins = [number for number, _ in enumerate(BYTES) if number & 0xC0 != 0x80]
    return int(np.isin(symbols, np.array(begins) + 1).sum())
