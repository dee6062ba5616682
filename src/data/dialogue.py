"""Replies given the line before, and other pairs of texts: people's own JSON lines, and the ChatterBot corpus."""

import hashlib
import io
import json
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from src.config.errors import UserError
from src.data.clients import PypiArchive
from src.data.dataset import SPLITS, Arrays
from src.data.encodings import decode
from src.data.files import unreadable
from src.data.held_out import connected, digest, ranked_splits
from src.data.sequences import Entry, Sequences
from src.data.sources import Derived, Source, get
from src.data.spec import Spec

WHEEL = "chatterbot_corpus-1.3.3-py2.py3-none-any.whl"
WHEEL_SHA256 = "86de5300afb9a80826386339d3bec79c0a72eb0358abb8327e2ecef5ae0ce154"
LANGUAGES = ("english", "chinese")


class Pair(NamedTuple):
    """source: what comes before. target: what is generated. group: pairs of related conversations have the same number."""

    source: str
    target: str
    group: int

    @property
    def text(self) -> str:
        return f"{self.source}\n{self.target}"


class Pairs:
    """Pairs of texts from a file of JSON lines: `x` is int64 [N, length + 1], `source` [N, source_length + 1], see Sequences.

    Each split gets about 90, 5 and 5 % of the pairs, by hash. Pairs of one conversation, and pairs with the same source but for
    case, are in the same split. White space at both ends of a text is removed; a pair that occurs again is left out, as is
    one with an empty text. All of it is counted.

    path: the file, UTF-8. length, source_length: most characters; longer pairs are left out and counted.
    """

    def __init__(self, path: str | Path, length: int = 128, source_length: int = 128, name: str = "text_pairs") -> None:
        self.path, self.length, self.source_length, self.name = Path(path).expanduser(), length, source_length, name

    @property
    def spec(self) -> Spec:
        """The vocabulary is read from the file."""
        return self._sequences.spec

    def prepare(self) -> None:
        """Read the file; raises UserError with the number of the line that is wrong."""
        _ = self._sequences

    def hashes(self) -> dict[str, str]:
        """SHA-256 of the file."""
        return {"pairs": hashlib.sha256(self._bytes).hexdigest()}

    def notes(self) -> dict[str, int]:
        """Counts: pairs of the file and what was left out or changed, vocabulary, unknown characters."""
        sequences = self._sequences  # makes the counts too
        return self._counts | sequences.notes()

    def split(self, name: str) -> Arrays:
        """ "train", "validation" or "test"."""
        return self._sequences.splits[name]

    def read_line(self, value: Any) -> list[str]:
        """The turns of a line: a source and a target. Raises ValueError with the reason."""
        if not isinstance(value, dict) or not all(isinstance(value.get(key), str) for key in ("source", "target")):
            raise ValueError('must be {"source": "...", "target": "..."}')
        return [value["source"], value["target"]]

    @cached_property
    def _bytes(self) -> bytes:
        if not self.path.is_file():
            raise UserError(f"data.path={self.path}: there is no such file: say where it is now")
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise unreadable(error) from error

    @cached_property
    def _lines(self) -> list[list[str]]:
        """The turns of each line."""
        return read_lines(decode(self._bytes, self.path), self.path, self.read_line)

    @cached_property
    def _sequences(self) -> Sequences:
        pairs, self._counts = pairs_of(self._lines)
        pairs.sort(key=lambda pair: digest(pair.text))  # any few samples are a random choice
        group = [pair.group for pair in pairs]
        if (count := len(set(group))) < len(SPLITS):
            raise UserError(
                f"data.path={self.path}: {len(pairs):,} pairs with {count} unrelated sources: give at least {len(SPLITS)}, "
                "better some hundreds"
            )
        splits = ranked_splits([pair.text for pair in pairs], group)
        entries: dict[str, list[Entry]] = {name: [] for name in SPLITS}
        for pair, split in zip(pairs, splits, strict=True):
            entries[split].append(Entry(pair.target, pair.source))
        return Sequences(entries, self.length, self.source_length)


class Conversations(Pairs):
    """Replies given the line before, from a file with one conversation in each line, {"turns": ["...", ...]} or ["...", ...].

    Each turn but the first is a reply to the one before it. See Pairs.
    """

    def __init__(self, path: str | Path, length: int = 128, source_length: int = 128, name: str = "conversations") -> None:
        super().__init__(path, length, source_length, name)

    def read_line(self, value: Any) -> list[str]:
        """The turns of a line. Raises ValueError with the reason."""
        turns = value.get("turns") if isinstance(value, dict) else value
        if not isinstance(turns, list) or not all(isinstance(turn, str) for turn in turns):
            raise ValueError('must be {"turns": ["...", "..."]} or ["...", "..."]')
        return turns

    def notes(self) -> dict[str, int]:
        """Counts: see Pairs, and conversations, of which `without_reply` have one turn or none."""
        replies = [len(turns) > 1 for turns in self._lines]
        return {"conversations": len(replies), "without_reply": replies.count(False)} | super().notes()


def derive(wheel: Path) -> dict[str, bytes]:
    """The conversations of each language, of the package's wheel: {"turns": [...]} in each line, as the corpus has them."""
    import yaml

    made = {}
    with zipfile.ZipFile(wheel) as archive:
        for language in LANGUAGES:
            folder = f"chatterbot_corpus/data/{language}/"
            names = sorted(name for name in archive.namelist() if name.startswith(folder) and name.endswith(".yml"))
            topics = [yaml.safe_load(archive.read(name)) for name in names]
            lines = io.StringIO()
            for conversation in (conversation for topic in topics for conversation in topic["conversations"]):
                turns = conversation if isinstance(conversation, list) else [conversation]  # one lacks its second dash
                lines.write(json.dumps({"turns": turns}, ensure_ascii=False) + "\n")
            made[f"{language}.jsonl"] = lines.getvalue().encode()
    return made


class Dialogue(Conversations):
    """The conversations of the ChatterBot corpus in English or Chinese, from the PyPI package chatterbot-corpus 1.3.3 (BSD).

    Half of the English pairs are repeated ones, most of them from its 1,050 conversations on technical support.

    folder: for the conversations, which are derived from the package; prepare() fills it. language: "english" or "chinese".
    sources: where prepare() looks for missing files, in this order; None means `default_sources`. See Pairs for the rest.
    """

    files: ClassVar[dict[str, str]] = {
        "english.jsonl": "c64176a1f3af1c8f38c94584e4901b4d339f3ed6e47c252a9b5ce4725a92ca1b",
        "chinese.jsonl": "6c896df7f2ee050d4fab51ced37ba00de7c9dfc88369b57c2a45c28418d3650b",
    }
    default_sources: ClassVar[tuple[Source, ...]] = (
        Derived(PypiArchive("chatterbot-corpus==1.3.3"), WHEEL, WHEEL_SHA256, derive),
    )

    def __init__(
        self,
        folder: str | Path,
        language: str = "english",
        length: int = 128,
        source_length: int = 128,
        name: str = "dialogue",
        sources: Sequence[Source] | None = None,
    ) -> None:
        if language not in LANGUAGES:
            raise UserError(f"language={language}: must be english or chinese")
        super().__init__(Path(folder) / f"{language}.jsonl", length, source_length, name)
        self.folder = Path(folder)
        self.sources = self.default_sources if sources is None else sources

    def prepare(self) -> None:
        """Check the conversations and get them if they are missing; raises UserError with the remedy."""
        get(self.folder, self.files, self.sources)

    def hashes(self) -> dict[str, str]:
        """SHA-256 of the conversations, as pinned here."""
        return {self.path.name: self.files[self.path.name]}

    @cached_property
    def _bytes(self) -> bytes:
        self.prepare()
        return self.path.read_bytes()


def read_lines(text: str, path: Path, read: Callable[[Any], list[str]]) -> list[list[str]]:
    """What `read` makes of the JSON in each line; empty lines are skipped. Raises UserError with the line's number."""
    found = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            turns = read(json.loads(line))
            "".join(turns).encode()
        except json.JSONDecodeError as error:
            raise UserError(f"{path}, line {number:,}: no JSON ({error.msg}, column {error.colno})") from error
        except UnicodeEncodeError as error:
            raise UserError(f"{path}, line {number:,}: half of a surrogate pair is no character") from error
        except ValueError as error:
            raise UserError(f"{path}, line {number:,}: {error}") from error
        found.append(turns)
    return found


def pairs_of(conversations: Sequence[Sequence[str]]) -> tuple[list[Pair], dict[str, int]]:
    """The pairs of turns that follow each other, each pair once, and counts of all that was left out or changed."""
    counts = Counter(pairs=0, stripped=0, empty=0, repeated=0)
    kept: dict[tuple[str, str], int] = {}  # the number of the conversation
    first: dict[str, int] = {}  # the first conversation that has this source
    links = []
    for number, conversation in enumerate(conversations):
        turns = [turn.strip() for turn in conversation]
        counts["stripped"] += sum(turn != as_is for turn, as_is in zip(turns, conversation, strict=True))
        for source, target in pairwise(turns):
            counts["pairs"] += 1
            if not (source and target):
                counts["empty"] += 1
                continue
            counts["repeated"] += (source, target) in kept
            kept.setdefault((source, target), number)
            links.append((first.setdefault(source.casefold(), number), number))
    group = connected(len(conversations), links)
    return [Pair(source, target, group[number]) for (source, target), number in kept.items()], dict(counts)
