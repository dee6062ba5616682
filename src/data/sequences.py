"""Texts of different lengths as arrays of tokens, with a text or a class that they are conditioned on."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from src.config.errors import UserError
from src.data.dataset import SPLITS, Arrays
from src.data.spec import Field, Spec
from src.data.vocabulary import UNKNOWN, Vocabulary


class Entry(NamedTuple):
    """One sample. x: what is generated. source: what it is conditioned on. y: its class."""

    x: str
    source: str | None = None
    y: int | None = None


class Sequences:
    """The splits of a data set of texts, and its spec.

    `x` is int64 [N, length + 1]: the text, then END, then PAD; `length` int64 [N] counts its tokens with END. `source` and
    `source_length` are of the same form, `y` is a class. The vocabulary is SPECIAL, then the characters of the training part,
    sources included, in the order of their code points; others become UNKNOWN.

    entries: the samples of each split, all of the same form. length, source_length: most characters; samples with more are
    left out and counted. classes: the names of the classes.
    Raises UserError if a split is empty.
    """

    def __init__(
        self,
        entries: Mapping[str, Sequence[Entry]],
        length: int,
        source_length: int | None = None,
        classes: tuple[str, ...] = (),
    ) -> None:
        if length < 1 or (source_length is not None and source_length < 1):
            raise UserError("a text has at least 1 character: raise the length")
        kept = {
            name: [
                entry
                for entry in entries[name]
                if len(entry.x) <= length and (source_length is None or len(entry.source or "") <= source_length)
            ]
            for name in SPLITS
        }
        self.too_long = sum(len(entries[name]) - len(kept[name]) for name in SPLITS)
        if empty := [name for name in SPLITS if not kept[name]]:
            counts = ", ".join(f"{name} {len(kept[name]):,}" for name in SPLITS)
            raise UserError(
                f"no text is left for {' and '.join(empty)} ({counts}; {self.too_long:,} are too long): give more or shorter "
                "texts, or allow longer ones"
            )
        self.vocabulary = Vocabulary.of(text for entry in kept["train"] for text in (entry.x, entry.source or ""))
        fields = {"x": self._tokens(length), "length": Field("length", (), "int64")}
        if source_length is not None:
            fields |= {"source": self._tokens(source_length), "source_length": Field("length", (), "int64")}
        if classes:
            fields["y"] = Field("class", (), "int64", classes)
        self.spec = Spec(fields)
        self.splits = {name: self._arrays(kept[name]) for name in SPLITS}

    def notes(self) -> dict[str, int]:
        """Counts: vocabulary, samples that are too long, unknown characters of validation and test."""
        unknown = self.vocabulary.names.index(UNKNOWN)
        counts = {
            f"unknown_{name}": sum(int((self.splits[name][field] == unknown).sum()) for field in self._token_fields)
            for name in SPLITS[1:]
        }
        return {"vocabulary": len(self.vocabulary.names), "too_long": self.too_long, **counts}

    @property
    def _token_fields(self) -> list[str]:
        return [name for name, field in self.spec.fields.items() if field.kind == "tokens"]

    def _tokens(self, length: int) -> Field:
        return Field("tokens", (length + 1,), "int64", names=self.vocabulary.names)

    def _arrays(self, entries: Sequence[Entry]) -> Arrays:
        fields: dict[str, np.ndarray] = {}
        for name in self._token_fields:
            texts = [(entry.x if name == "x" else entry.source) or "" for entry in entries]
            tokens, length = self.vocabulary.encode_padded(texts, self.spec.fields[name].shape[0])
            fields |= {name: tokens, "length" if name == "x" else "source_length": length}
        if "y" in self.spec.fields:
            fields["y"] = np.array([entry.y for entry in entries], np.int64)
        return Arrays(**fields)
