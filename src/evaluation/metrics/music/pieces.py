"""Pieces of music as arrays of symbols, and what sounds in them: the input of all metrics of music."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple, Self

import numpy as np

from src.data.music.notes import HOLD, REST, Symbols, sounding
from src.data.vocabulary import END, PAD


class Notes(NamedTuple):
    """All notes of some pieces, sorted by piece, voice and start; each field [M].

    pitch: MIDI number. start, duration: in steps.
    """

    piece: np.ndarray
    voice: np.ndarray
    pitch: np.ndarray
    start: np.ndarray
    duration: np.ndarray

    @property
    def follows(self) -> np.ndarray:
        """Whether a note is not the first of its voice in its piece, [M]."""
        same = (self.piece[1:] == self.piece[:-1]) & (self.voice[1:] == self.voice[:-1])
        return np.concatenate([np.zeros(min(1, len(self.piece)), bool), same])

    @property
    def interval(self) -> np.ndarray:
        """Semitones from the note before, [M]; meaningless where a note does not follow another."""
        return np.diff(self.pitch, prepend=self.pitch[:1])


@dataclass(frozen=True)
class Pieces:
    """Pieces of equal width: symbols int64 [N, T, V], see src.data.music.notes; names of the symbols.

    A piece ends before the first step with END or PAD in any voice: what comes later counts nowhere.
    """

    x: np.ndarray
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, rows: slice | np.ndarray) -> Self:
        return replace(self, x=self.x[rows])

    @property
    def voices(self) -> int:
        return self.x.shape[2]

    @cached_property
    def symbols(self) -> Symbols:
        return Symbols(tuple(self.names))

    @cached_property
    def hold(self) -> int:
        return self.names.index(HOLD)

    @cached_property
    def rest(self) -> int:
        return self.names.index(REST)

    @cached_property
    def length(self) -> np.ndarray:
        """Steps of each piece before its end, [N]."""
        special = [number for number, name in enumerate(self.names) if name in (PAD, END)]
        ended = np.any(np.isin(self.x, special), axis=2)
        return np.where(ended.any(axis=1), ended.argmax(axis=1), self.x.shape[1])

    @cached_property
    def counted(self) -> np.ndarray:
        """Which steps come before the end, [N, T]."""
        return np.arange(self.x.shape[1]) < self.length[:, None]

    @cached_property
    def sounds(self) -> np.ndarray:
        """The pitch that sounds, [N, T, V]; -1 for silence and after the end."""
        n, t, v = self.x.shape
        found = sounding(self.x.transpose(1, 0, 2).reshape(t, n * v), self.names).reshape(t, n, v).transpose(1, 0, 2)
        return np.where(self.counted[:, :, None], found, -1)

    @cached_property
    def onsets(self) -> np.ndarray:
        """Whether a note begins, [N, T, V]."""
        return (self.symbols.pitches[self.x] >= 0) & self.counted[:, :, None]

    @cached_property
    def notes(self) -> Notes:
        begins = (self.x != self.hold) & self.counted[:, :, None]
        piece, voice, start = np.nonzero(begins.transpose(0, 2, 1))
        row = piece * self.voices + voice
        last = np.append(row[1:] != row[:-1], True)[: len(row)]  # nothing begins later in this voice
        end = np.where(last, self.length[piece], np.append(start[1:], 0)[: len(row)])
        pitch = self.symbols.pitches[self.x[piece, start, voice]]
        return Notes(*(part[pitch >= 0] for part in (piece, voice, pitch, start, end - start)))


def whole(pieces: Pieces, steps: int) -> np.ndarray:
    """Which windows of `steps` steps are within each piece, [N, T // steps]: window k begins at step k * steps."""
    return (np.arange(pieces.x.shape[1] // steps) + 1) * steps <= pieces.length[:, None]


def windows(values: np.ndarray, steps: int) -> np.ndarray:
    """Values [N, T, ...] in windows, [N, T // steps, steps, ...]; the rest of T is left out."""
    count = values.shape[1] // steps
    return values[:, : count * steps].reshape(len(values), count, steps, *values.shape[2:])
