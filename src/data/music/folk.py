"""Folk tunes: O'Neill's, Aird's and Ryan's collections, and in a data set of its own the Essen collection.

They come from the PyPI package music21 10.5.1. The tunes of the first three books, of 1782 to 1922, are in the public domain;
volunteers have transcribed them. What the data sets use is derived once from the package's wheel (20 MB), by music21, into
small files whose SHA-256 are pinned here.
"""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np

from src.config.errors import UserError
from src.data.clients import PypiArchive
from src.data.dataset import SPLITS, Arrays
from src.data.music.archive import PACKAGE, WHEEL, WHEEL_SHA256, derive, derive_essen
from src.data.music.notes import RATE, Symbols, bar_steps
from src.data.music.pieces import Piece, read_pieces
from src.data.music.windows import whole, windows
from src.data.sources import Derived, Source, get
from src.data.spec import Field, Spec

MODES = ("major", "minor")
SAME_METRE = {"2/2": "4/4"}
LICENCE = (
    "NON-COMMERCIAL: the Essen collection is for non-commercial use, its legal status is unclear (license.txt in music21's "
    "corpus/essenFolksong); do not sell or publish what you train on it as free"
)


def wheel(make: Callable[[Path], dict[str, bytes]]) -> tuple[Source, ...]:
    """Where to get what `make` derives from the wheel."""
    return (Derived(PypiArchive(PACKAGE), WHEEL, WHEEL_SHA256, make),)


class Collection:
    """What the data sets of tunes and of chorales share: derived files in one folder.

    folder: for the derived files; prepare() fills it. The wheel may be put there by hand where there is no network.
    sources: where prepare() looks for missing files, in this order; None means `default_sources`.
    """

    files: ClassVar[dict[str, str]] = {
        "folk.jsonl": "41a6ce2c9ac39c014338cdac0ba9590a6772d7fbc3ad758d392040d62c151497",
        "folk_counts.json": "0357299354f55064f0e2ef948a2a503a30a8401f371955a546f5525e3bd8c76c",
        "chorales.jsonl": "6d0c7530766fc34295919d27a55d65701514c06ff10f205e22400ce199d471c7",
        "chorales_counts.json": "5e731f16e59ca4700ddd2786d324d3a51569e31f7903811a0112fe6f68a03056",
    }
    default_sources: ClassVar[tuple[Source, ...]] = wheel(derive)
    used: ClassVar[str]  # the file that the samples come from, without its suffix

    def __init__(self, folder: str | Path, name: str, sources: Sequence[Source] | None = None) -> None:
        self.folder, self.name = Path(folder), name
        self.sources = self.default_sources if sources is None else sources

    def prepare(self) -> None:
        """Check the derived files; if one is missing, get the wheel and derive it (a minute); raises UserError."""
        get(self.folder, self.files, self.sources)

    def hashes(self) -> dict[str, str]:
        """SHA-256 of the derived file, as pinned here."""
        return {f"{self.used}.jsonl": self.files[f"{self.used}.jsonl"]}

    def notes(self) -> dict[str, int]:
        """Counts: pieces of the package, what was left out or changed, and windows without notes."""
        _ = self._splits  # makes counts too
        counts = json.loads((self.folder / f"{self.used}_counts.json").read_text())
        return {name: count for name, count in counts.items() if name not in SPLITS} | self._counts

    def split(self, name: str) -> Arrays:
        """ "train", "validation" or "test"."""
        return self._splits[name]

    @cached_property
    def _splits(self) -> dict[str, Arrays]:
        raise NotImplementedError

    @cached_property
    def _counts(self) -> Counter[str]:
        return Counter()

    @cached_property
    def pieces(self) -> list[Piece]:
        """All pieces of the derived file, which is got if it is missing."""
        self.prepare()
        return read_pieces(self.folder / f"{self.used}.jsonl")


class Folk(Collection):
    """Tunes as symbols of one voice on a grid of sixteenths, see src.data.music.notes: `x` is int64 [N, T, 1].

    Tunes are transposed to a signature without sharps or flats: C major, A minor, D dorian, G mixolydian. Repeats are not
    played, and of two endings the second one is. Bars of the metre begin at step 0; an anacrusis ends a first bar that begins
    with REST. The splits are by hash, about 90, 5 and 5 % of the tunes, versions of one tune in the same.

    bars=0: whole tunes, T = length + 1. END follows, then PAD; `length` counts the steps with that of END. `y` is metre and
    mode, such as "6/8 minor"; dorian counts as minor, mixolydian as major, and 2/2 as 4/4. Metres and modes with fewer than
    `fewest` tunes of training are left out and counted, and longer tunes too.

    bars=n: windows of n bars of one metre, T = n * bar_steps(metre). Those of training begin at each bar line, the others at
    each n-th: no bar is scored twice. `y` is the mode.

    folder, sources: see Collection.
    """

    used = "folk"

    def __init__(
        self,
        folder: str | Path,
        bars: int = 0,
        metre: str = "4/4",
        length: int = 288,
        fewest: int = 20,
        name: str = "",
        sources: Sequence[Source] | None = None,
    ) -> None:
        if bars < 0:
            raise UserError(f"bars={bars}: 0 for whole tunes, or how many bars a sample has")
        if length < 1:
            raise UserError(f"length={length}: a tune has at least 1 step")
        super().__init__(folder, name or self.used, sources)
        self.bars, self.metre, self.length, self.fewest = bars, SAME_METRE.get(metre, metre), length, fewest
        self.steps = bars * bar_steps(metre) if bars else length + 1

    @cached_property
    def spec(self) -> Spec:
        """The pitches are those of all tunes that are used."""
        fields = {"x": Field("tokens", (self.steps, 1), "int64", names=self._symbols.names, rate=RATE)}
        fields["y"] = Field("class", (), "int64", self._classes)
        return Spec(fields if self.bars else fields | {"length": Field("length", (), "int64")})

    def _class(self, piece: Piece) -> str:
        return piece.mode if self.bars else f"{SAME_METRE.get(piece.metre, piece.metre)} {piece.mode}"

    @cached_property
    def _classes(self) -> tuple[str, ...]:
        """By their number of tunes of training."""
        if self.bars:
            return MODES
        counts = Counter(self._class(piece) for piece in self.pieces if piece.split == "train" and piece.steps <= self.length)
        found = sorted(counts, key=lambda name: (-counts[name], name))
        if not (classes := tuple(name for name in found if counts[name] >= self.fewest)):
            raise UserError(f"fewest={self.fewest}: no metre and mode has so many tunes: choose a smaller number")
        return classes

    @cached_property
    def _kept(self) -> list[Piece]:
        if self.bars:
            kept = [piece for piece in self.pieces if SAME_METRE.get(piece.metre, piece.metre) == self.metre]
            self._counts["other_metre"] = len(self.pieces) - len(kept)
            long = [piece for piece in kept if piece.steps >= self.steps]
            self._counts["too_short"] = len(kept) - len(long)
            if empty := [name for name in SPLITS if not any(piece.split == name for piece in long)]:
                raise UserError(
                    f"data.metre={self.metre}: no tune of {self.bars} bars is in {empty[0]}: choose 4/4, 6/8 or 2/4"
                )
            return long
        short = [piece for piece in self.pieces if piece.steps <= self.length]
        self._counts["too_long"] = len(self.pieces) - len(short)
        kept = [piece for piece in short if self._class(piece) in self._classes]
        self._counts["rare_metre_or_mode"] = len(short) - len(kept)
        return kept

    @cached_property
    def _symbols(self) -> Symbols:
        return Symbols.of((note.pitch for piece in self._kept for note in piece.notes), ends=not self.bars)

    @cached_property
    def _splits(self) -> dict[str, Arrays]:
        return {name: self._arrays([piece for piece in self._kept if piece.split == name], name) for name in SPLITS}

    def _arrays(self, pieces: Sequence[Piece], split: str) -> Arrays:
        y = np.array([self._classes.index(self._class(piece)) for piece in pieces], np.int64)
        if not self.bars:
            x, length = whole(pieces, self._symbols, self.length)
            return Arrays(x=x, y=y, length=length)
        stride = 1 if split == "train" else self.bars
        found = [windows(piece, self._symbols, self.bars, 1, stride) for piece in pieces]
        return Arrays(x=np.concatenate(found), y=np.repeat(y, [len(rows) for rows in found]))


class Essen(Folk):
    """The 8,514 songs of the Essen collection, most of them German, Chinese or Irish. For non-commercial use; see Folk."""

    files: ClassVar[dict[str, str]] = {
        "essen.jsonl": "3c56156974d7891ed226ce62ca532a68e247347a2b9b684b6c24023ad0287dcf",
        "essen_counts.json": "fff664cb22671f01a44a590bba32bb8068de616f86af1cfc8c7f3bdcd75eeb2a",
    }
    default_sources: ClassVar[tuple[Source, ...]] = wheel(derive_essen)
    used = "essen"
    licence = LICENCE
    _said = False

    def prepare(self) -> None:
        """As Folk's; says what the licence is, once."""
        if not self._said:
            print(LICENCE, flush=True)
            self._said = True
        super().prepare()
