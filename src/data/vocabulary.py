"""The vocabulary of texts: strings to tokens and back."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby, takewhile

import numpy as np

PAD = "<pad>"  # fills a sample after its end
END = "<end>"  # the last token of a text
UNKNOWN = "<unknown>"  # a character that is not in the training part
SPECIAL = (PAD, END, UNKNOWN)
BYTES = tuple(f"<0x{byte:02X}>" for byte in range(256))  # of UTF-8, for characters without a symbol of their own
LOST = "\N{REPLACEMENT CHARACTER}"  # stands for what is no character


@dataclass(frozen=True)
class Vocabulary:
    """The names of tokens, in the order of their numbers: `Field.names`. All but the special ones are single characters.

    `decode` takes vocabularies with longer pieces of text too, and with BYTES: src.data.tokenizer encodes for those.
    """

    names: tuple[str, ...]

    @classmethod
    def of(cls, texts: Iterable[str]) -> "Vocabulary":
        """`SPECIAL`, then the characters of the texts in the order of their code points."""
        return cls((*SPECIAL, *sorted(set().union(*texts))))

    def encode(self, text: str) -> np.ndarray:
        """int64 [number of characters]; ValueError for unknown characters, if the vocabulary has no `UNKNOWN`."""
        return self.encode_codes(code_points(text))

    def encode_codes(self, codes: np.ndarray) -> np.ndarray:
        """`encode` for code points, uint32 [N]."""
        alphabet, numbers = self._alphabet
        place = np.searchsorted(alphabet, codes).clip(max=max(0, len(alphabet) - 1))
        known = alphabet[place] == codes if len(alphabet) else np.zeros(len(codes), bool)
        if not known.all() and UNKNOWN not in self._numbers:
            raise ValueError(f"characters that are not in the vocabulary: {''.join(map(chr, np.unique(codes[~known])))}")
        tokens = np.full(len(codes), self._numbers.get(UNKNOWN, 0), np.int64)
        tokens[known] = numbers[place[known]]
        return tokens

    def unknown(self, text: str) -> str:
        """The characters that are not in the vocabulary, each once, in the order of the text; none if it has BYTES."""
        if self.has_bytes:
            return ""
        return "".join(character for character in dict.fromkeys(text) if character not in self._numbers)

    def encode_padded(self, texts: Sequence[str], length: int) -> tuple[np.ndarray, np.ndarray]:
        """Tokens int64 [N, length]: each text, then `END`, then `PAD`; and how many of them count, int64 [N], `END` included.

        length: at least 1 more than the longest text has characters.
        """
        lengths = np.array([len(text) for text in texts], np.int64)
        assert not len(texts) or lengths.max() < length, "a text is too long"
        tokens = np.full((len(texts), length), self._numbers[PAD], np.int64)
        tokens[np.arange(length) < lengths[:, None]] = self.encode("".join(texts))
        tokens[np.arange(len(texts)), lengths] = self._numbers[END]
        return tokens, lengths + 1

    def decode(self, tokens: Sequence[int]) -> str:
        """The text before the first `END`, without `PAD`; ValueError for tokens outside the vocabulary.

        Bytes that are no UTF-8 become LOST.
        """
        return joined(self._pieces(tokens))

    def unfinished(self, tokens: Sequence[int]) -> int:
        """How many LOST `decode` writes for bytes that are no UTF-8, such as the first half of a character."""
        return lost(self._pieces(tokens)) if self.has_bytes else 0

    @cached_property
    def has_bytes(self) -> bool:
        return BYTES[0] in self._numbers

    def _pieces(self, tokens: Sequence[int]) -> list[str]:
        if not all(0 <= token < len(self.names) for token in tokens):
            raise ValueError(f"tokens {min(tokens)} to {max(tokens)}, but the vocabulary has 0 to {len(self.names) - 1}")
        pieces = takewhile(lambda piece: piece != END, (self.names[token] for token in tokens))
        return [piece for piece in pieces if piece != PAD]

    @cached_property
    def _numbers(self) -> Mapping[str, int]:
        return {name: number for number, name in enumerate(self.names)}

    @cached_property
    def _alphabet(self) -> tuple[np.ndarray, np.ndarray]:
        """The code points of the single characters, sorted, uint32 [A], and their tokens, int64 [A]."""
        pairs = sorted((ord(name), number) for name, number in self._numbers.items() if len(name) == 1)
        return np.array([code for code, _ in pairs], np.uint32), np.array([number for _, number in pairs], np.int64)


def joined(pieces: Sequence[str]) -> str:
    """Names of tokens as one text: each run of BYTES is decoded, and what is no UTF-8 in it becomes LOST."""
    parts = groupby(pieces, key=_byte_of.__contains__)
    return "".join(_bytes(run).decode("utf-8", "replace") if are_bytes else "".join(run) for are_bytes, run in parts)


def lost(pieces: Sequence[str]) -> int:
    """How many LOST `joined` writes for what is no UTF-8."""
    runs = [_bytes(run) for are_bytes, run in groupby(pieces, key=_byte_of.__contains__) if are_bytes]
    return sum(run.decode("utf-8", "replace").count(LOST) - run.decode("utf-8", "ignore").count(LOST) for run in runs)


_byte_of = {name: byte for byte, name in enumerate(BYTES)}


def _bytes(names: Iterable[str]) -> bytes:
    return bytes(_byte_of[name] for name in names)


def code_points(text: str) -> np.ndarray:
    """uint32 [number of characters]."""
    return np.frombuffer(text.encode("utf-32-le"), "<u4")
