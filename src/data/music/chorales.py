"""Bach's four-part chorales. They come from the PyPI package music21 10.5.1, as the tunes of src.data.music.folk do."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from src.config.errors import UserError
from src.data.dataset import SPLITS, Arrays
from src.data.music.folk import Collection
from src.data.music.notes import RATE, Symbols, bar_steps
from src.data.music.pieces import Piece
from src.data.music.windows import shifted, windows
from src.data.sources import Source
from src.data.spec import Field, Spec

VOICES = 4  # soprano, alto, tenor, bass
SHIFTS = range(-6, 6)  # semitones: each key once


class Chorales(Collection):
    """Windows of chorales on a grid of sixteenths: `x` int64 [N, T, 4], soprano first, and `melody` int64 [N, T], the soprano.

    A window begins at a bar line and has `bars` bars of one metre, T = bars * bar_steps(metre). Those of training begin at each
    bar line, the others at each `bars`-th: no bar is scored twice. Windows of training are there in all keys in which each
    voice of their chorale stays in the range that this voice has in training; the others in Bach's key alone. The splits are by
    hash, about 80, 10 and 10 % of the chorales; all chorales on one melody are in the same.

    The split of Boulanger-Lewandowski et al. 2012 (229, 76 and 77 chorales at quarter notes) cannot be had from this package:
    it is one of MIDI files whose names and order the package does not have.

    transpose: whether training has the other keys too. folder, sources: see Collection.
    """

    used = "chorales"

    def __init__(
        self,
        folder: str | Path,
        bars: int = 4,
        metre: str = "4/4",
        transpose: bool = True,
        name: str = "chorales",
        sources: Sequence[Source] | None = None,
    ) -> None:
        if bars < 1:
            raise UserError(f"bars={bars}: a window has at least 1 bar")
        super().__init__(folder, name, sources)
        self.bars, self.metre, self.transpose = bars, metre, transpose
        self.steps = bars * bar_steps(metre)

    @cached_property
    def spec(self) -> Spec:
        """The pitches are those of all chorales that are used."""
        names = self._symbols.names
        return Spec(
            {
                "x": Field("tokens", (self.steps, VOICES), "int64", names=names, rate=RATE),
                "melody": Field("tokens", (self.steps,), "int64", names=names, rate=RATE),
            }
        )

    @cached_property
    def _kept(self) -> list[Piece]:
        kept = [piece for piece in self.pieces if piece.metre == self.metre]
        self._counts["other_metre"] = len(self.pieces) - len(kept)
        long = [piece for piece in kept if piece.steps >= self.steps]
        self._counts["too_short"] = len(kept) - len(long)
        if empty := [name for name in SPLITS if not any(piece.split == name for piece in long)]:
            raise UserError(f"data.metre={self.metre}: no chorale of {self.bars} bars is in {empty[0]}: choose 4/4 or 3/4")
        return long

    @cached_property
    def _symbols(self) -> Symbols:
        return Symbols.of(note.pitch for piece in self._kept for note in piece.notes)

    @cached_property
    def ranges(self) -> np.ndarray:
        """The lowest and the highest pitch of each voice in training, int64 [4, 2]."""
        found = np.stack([_range(piece) for piece in self._kept if piece.split == "train"])  # [N, 4, 2]
        return np.stack([found[..., 0].min(0), found[..., 1].max(0)], axis=1)

    @cached_property
    def _splits(self) -> dict[str, Arrays]:
        found = {}
        for name in SPLITS:
            rows = []
            for piece in self._kept:
                if piece.split == name:
                    x = windows(piece, self._symbols, self.bars, VOICES, 1 if name == "train" else self.bars)
                    rows += [shifted(x, self._symbols, shift) for shift in self._shifts(piece)]
            x = np.concatenate(rows)
            found[name] = Arrays(x=x, melody=x[:, :, 0])
        return found

    def _shifts(self, piece: Piece) -> list[int]:
        if not self.transpose or piece.split != "train":
            return [0]
        room = self.ranges - _range(piece)  # [4, 2]
        return [shift for shift in SHIFTS if room[:, 0].max() <= shift <= room[:, 1].min()]


def _range(piece: Piece) -> np.ndarray:
    """int64 [4, 2]."""
    pitches = [[note.pitch for note in piece.notes if note.voice == voice] for voice in range(VOICES)]
    return np.array([[min(voice), max(voice)] for voice in pitches], np.int64)
