"""Any UTF-8 text as sequences of characters, or of pieces of words."""

import hashlib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from src.config.errors import UserError
from src.data.dataset import SPLITS, Arrays
from src.data.encodings import decode
from src.data.files import kinds, list_files, unreadable
from src.data.spec import Field, Spec
from src.data.tokenizer import FILE, BytePairs, unfamiliar
from src.data.vocabulary import UNKNOWN, Vocabulary, code_points

SUFFIXES = (".md", ".txt")
FEWEST = {"train": 20, "validation": 2, "test": 2}  # samples per split


class Source(NamedTuple):
    """A text and its files.

    codes: code points, uint32 [N]. hashes: SHA-256 of each file's bytes, by name. line_ends: how many CR LF became LF.
    """

    codes: np.ndarray
    hashes: dict[str, str]
    line_ends: int


class Text:
    """A text file, or all .md and .txt files in a folder and below it, as int64 tokens [N, length].

    The files are read as UTF-8 and joined in the order of their names, with a line end after each that lacks one. A byte order
    mark is removed and CR LF becomes LF; nothing else changes. Hidden files are left out, others too, counted by kind.

    The first part of the text is for training, then comes validation, then test: no character belongs to two splits. Training
    samples overlap: one begins at every multiple of length // 2, so that most tokens occur twice, once with long and once with
    short context. Samples of the other splits do not overlap: each token is scored once, given those before it in its sample.

    encoding="characters": a token is a character. The vocabulary is `UNKNOWN`, then the characters of the training part in the
    order of their code points. `UNKNOWN` replaces characters of the other splits that are not in the training part. Up to
    length - 1 characters at the end of a split belong to no sample.

    encoding="bpe": tokens are those of `BytePairs`, learned from the training part. There is no `UNKNOWN`. The last sample of
    validation and test is padded, `length` counts its tokens: every character is scored.

    path: the file or folder. length: tokens per sample. validation, test: shares of the text. vocabulary: number of tokens of
    "bpe", see `BytePairs.train`.
    """

    def __init__(
        self,
        path: str | Path,
        length: int = 64,
        validation: float = 0.05,
        test: float = 0.05,
        name: str = "text",
        encoding: str = "characters",
        vocabulary: int = 2000,
    ) -> None:
        if length < 1:
            raise UserError(f"length={length}: a sample has at least 1 character")
        if not (validation > 0 and test > 0 and validation + test < 1):
            raise UserError(f"validation={validation:g} and test={test:g} must be above 0 and leave a part for training")
        if encoding not in ("characters", "bpe"):
            raise UserError(f"data.encoding={encoding}: must be characters or bpe")
        self.path, self.length, self.name = Path(path).expanduser(), length, name
        self.held_out = {"validation": validation, "test": test}
        self.in_pieces, self.size = encoding == "bpe", vocabulary

    @cached_property
    def spec(self) -> Spec:
        """The vocabulary is read from the text."""
        fields = {"x": Field("tokens", (self.length,), "int64", names=self._encoder.names)}
        return Spec(fields | ({"length": Field("length", (), "int64")} if self.in_pieces else {}))

    def learned(self) -> dict[str, bytes]:
        """See Learns: the tokenizer of "bpe"."""
        return {FILE: self._encoder.file} if isinstance(self._encoder, BytePairs) else {}

    def restore(self, files: Mapping[str, bytes]) -> None:
        """See Learns."""
        if self.in_pieces:
            for name in ("spec", "_tokens"):  # of a tokenizer that was learned before
                self.__dict__.pop(name, None)
            self._encoder = BytePairs.load(files[FILE])

    def prepare(self) -> None:
        """Read the text; raises UserError if it is missing, not UTF-8 or too short."""
        counts = {name: len(self.split(name)) for name in SPLITS}
        if any(counts[name] < FEWEST[name] for name in SPLITS):
            found = ", ".join(f"{counts[name]:,} for {name} ({FEWEST[name]} needed)" for name in SPLITS)
            raise UserError(
                f"data.path={self.path}: {len(self._source.codes):,} characters give too few samples of {self.length}"
                f"{' pieces' if self.in_pieces else ''}: {found}; take a longer text or a smaller data.length"
            )

    def hashes(self) -> dict[str, str]:
        """SHA-256 of each file, by its name within the folder; of a single file as "text"."""
        return self._source.hashes

    def notes(self) -> dict[str, int]:
        """Counts: characters, tokens, vocabulary, CR LF line ends; of validation and test, characters that training lacks."""
        unknown = unfamiliar if self.in_pieces else lambda tokens: int((tokens == 0).sum())
        return {
            "characters": len(self._source.codes),
            **({"tokens": sum(map(len, self._tokens.values()))} if self.in_pieces else {}),
            "vocabulary": len(self._encoder.names),
            "crlf": self._source.line_ends,
            **{f"unknown_{name}": unknown(self._tokens[name]) for name in SPLITS[1:]},
        }

    def split(self, name: str) -> Arrays:
        """ "train", "validation" or "test"."""
        tokens, stride = self._tokens[name], max(1, self.length // 2) if name == "train" else self.length
        if self.in_pieces and name != "train":
            count = -(-len(tokens) // self.length)
            x = np.pad(tokens, (0, count * self.length - len(tokens))).reshape(count, self.length)  # PAD is 0
            return Arrays(x=x, length=(len(tokens) - np.arange(count) * self.length).clip(max=self.length))
        if len(tokens) < self.length:
            x = np.empty((0, self.length), np.int64)
        else:
            x = np.lib.stride_tricks.sliding_window_view(tokens, self.length)[::stride]  # a view, [N, length]
        return Arrays(x=x, length=np.full(len(x), self.length) if self.in_pieces else None)

    @cached_property
    def _parts(self) -> dict[str, np.ndarray]:
        """Code points by split."""
        codes = self._source.codes
        test = int(len(codes) * self.held_out["test"])
        validation = int(len(codes) * self.held_out["validation"])
        ends = [len(codes) - test - validation, len(codes) - test]
        return dict(zip(SPLITS, np.split(codes, ends), strict=True))

    @cached_property
    def _encoder(self) -> Vocabulary | BytePairs:
        if self.in_pieces:
            return BytePairs.train(_text_of(self._parts["train"]), self.size)
        return Vocabulary((UNKNOWN, *map(chr, np.unique(self._parts["train"]))))

    @cached_property
    def _tokens(self) -> dict[str, np.ndarray]:
        """int64 tokens by split."""
        encoder = self._encoder
        if isinstance(encoder, BytePairs):
            return {name: encoder.encode(_text_of(codes)) for name, codes in self._parts.items()}
        return {name: encoder.encode_codes(codes) for name, codes in self._parts.items()}

    @cached_property
    def _source(self) -> Source:
        texts, hashes, line_ends = [], {}, 0
        files, others = self._files()
        for name, path in files.items():
            try:
                data = path.read_bytes()
            except OSError as error:
                raise unreadable(error) from error
            hashes[name] = hashlib.sha256(data).hexdigest()
            text = decode(data, path)
            line_ends += text.count("\r\n")
            texts.append(text.replace("\r\n", "\n"))
        if others:
            print(f"{self.path}: left out: {others}")
        joined = "\n".join([text.removesuffix("\n") for text in texts[:-1]] + texts[-1:])
        return Source(code_points(joined), hashes, line_ends)

    def _files(self) -> tuple[dict[str, Path], str]:
        """The files by name, sorted; and how many others there are, by kind."""
        if self.path.is_file():
            return {"text": self.path}, ""  # whatever its name is: it may move
        if not self.path.is_dir():
            raise UserError(f"data.path={self.path}: there is no such file or folder: say where the text is now")
        names, others = list_files(self.path, SUFFIXES)
        files = {name: self.path / name for name in names if (self.path / name).is_file()}
        if left_out := [self.path / name for name in names if name not in files]:
            others = ", ".join(filter(None, [others, kinds(left_out)]))
        if not files:
            listed = f"; found: {others}" if others else ""
            raise UserError(f"data.path={self.path}: there are no text files in it ({', '.join(SUFFIXES)}){listed}")
        return files, others


def _text_of(codes: np.ndarray) -> str:
    return codes.tobytes().decode("utf-32-le")
