"""Music on a grid of sixteenths: notes of several voices to symbols, and back.

A piece is symbols [T, V], one per step and voice: a pitch name ("C4", "F#5") where a note begins, `REST` where a silence
begins, and `HOLD` where either goes on (the melody encoding of Roberts et al. 2018, arXiv:1803.05428, section 4.1).
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from src.config.errors import UserError
from src.data.vocabulary import END, PAD

STEPS = 4  # per quarter note
RATE = 8.0  # steps per second at 120 quarter notes per minute, `Field.rate`
HOLD, REST = "hold", "rest"
NAMES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")  # of pitch classes 0..11


class Note(NamedTuple):
    """A note. voice: 0 is the highest. pitch: MIDI number, 60 is C4. start, duration: in steps."""

    voice: int
    pitch: int
    start: int
    duration: int


@dataclass(frozen=True)
class Symbols:
    """The symbols of a data set by their numbers, `Field.names`: HOLD, REST and pitch names; PAD and END where lengths vary."""

    names: tuple[str, ...]

    @classmethod
    def of(cls, pitches: Iterable[int], ends: bool = False) -> "Symbols":
        """For all pitches from the lowest to the highest one. ends: with PAD and END."""
        found = set(pitches)
        return cls((*((PAD, END) if ends else ()), HOLD, REST, *map(pitch_name, range(min(found), max(found) + 1))))

    @cached_property
    def pitches(self) -> np.ndarray:
        """MIDI number of each symbol, int64 [number of symbols]; -1 for those that are no pitch."""
        return np.array([pitch_of(name) if re.fullmatch(r"[A-G]#?-?\d+", name) else -1 for name in self.names], np.int64)

    def encode(self, notes: Iterable[Note], steps: int, voices: int = 1) -> np.ndarray:
        """int64 [steps, voices]. Notes of one voice do not overlap; ValueError if they do, or for unknown pitches.

        A piece that begins with silence begins with REST.
        """
        numbers = {int(pitch): number for number, pitch in enumerate(self.pitches) if pitch >= 0}
        found = np.full((steps, voices), self.names.index(HOLD), np.int64)
        found[:1] = self.names.index(REST)
        ends = [0] * voices
        for voice, pitch, start, duration in sorted(notes, key=lambda note: (note.voice, note.start)):
            if start < ends[voice] or duration < 1 or start + duration > steps:
                raise ValueError(f"voice {voice}: a note from step {start} to {start + duration} overlaps, or is outside")
            if pitch not in numbers:
                raise ValueError(f"the symbols have no {pitch_name(pitch)}")
            found[start, voice] = numbers[pitch]
            ends[voice] = start + duration
            if ends[voice] < steps:
                found[ends[voice], voice] = self.names.index(REST)  # replaced if a note begins there
        return found

    def decode(self, symbols: np.ndarray) -> list[Note]:
        """The notes of a piece [T, V], by start, then voice. A piece ends before the first step that has END or PAD.

        HOLD before any note is silence.
        """
        symbols = symbols[: self.length(symbols)]
        hold = self.names.index(HOLD)
        notes = []
        for voice in range(symbols.shape[1]):
            column = symbols[:, voice]
            begins = np.flatnonzero(column != hold)
            for start, end in pairwise([*begins, len(column)]):
                if (pitch := self.pitches[column[start]]) >= 0:
                    notes.append(Note(voice, int(pitch), int(start), int(end - start)))
        return sorted(notes, key=lambda note: (note.start, note.voice))

    def length(self, symbols: np.ndarray) -> int:
        """Steps of a piece [T, V] before its end."""
        special = [number for number, name in enumerate(self.names) if name in (PAD, END)]
        ended = np.isin(symbols, special).any(axis=1)
        return int(ended.argmax()) if ended.any() else len(symbols)


def sounding(symbols: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """The pitch that sounds at each step of a piece [T, V], int64 [T, V]; -1 for silence. PAD and END are silence."""
    pitches, hold = Symbols(tuple(names)).pitches, names.index(HOLD)
    begun = np.where(symbols != hold, np.arange(len(symbols))[:, None], -1)
    last = np.maximum.accumulate(begun, axis=0)  # [T, V]: where the present note or rest began
    return np.where(last >= 0, pitches[np.take_along_axis(symbols, last.clip(min=0), axis=0)], -1)


def pitch_name(pitch: int) -> str:
    """ "C4" of 60: with sharps, as the octaves of scientific pitch notation."""
    return f"{NAMES[pitch % 12]}{pitch // 12 - 1}"


def pitch_of(name: str) -> int:
    """60 of "C4"."""
    letters, octave = re.fullmatch(r"([A-G]#?)(-?\d+)", name).groups()  # type: ignore[union-attr]
    return NAMES.index(letters) + 12 * (int(octave) + 1)


def bar_steps(metre: str) -> int:
    """Steps of a bar: 16 of "4/4", 12 of "6/8"; UserError for what is no metre or has no whole number of sixteenths."""
    found = re.fullmatch(r"([1-9]\d?)/(1|2|4|8|16)", metre)
    if not found:
        raise UserError(f"metre={metre}: write it as 4/4, 3/4 or 6/8")
    beats, unit = map(int, found.groups())
    return beats * 4 * STEPS // unit
