"""What a tune for given words may be: masks on the symbols of models that draw symbol by symbol, see src.models.constraints."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from src.config.errors import UserError
from src.data.music.keys import Key
from src.data.music.notes import HOLD, REST, STEPS, Symbols, bar_steps
from src.data.spec import Spec
from src.data.vocabulary import END

SHORTEST = 2  # steps of a syllable's note, an eighth
USUAL = 3  # steps for each syllable that a line has room for, besides its last note
TRIADS = {"major": (0, 4, 7), "minor": (0, 3, 7)}


class Syllables:
    """A tune of lines, each whole bars with one note for each of its syllables; other voices are free.

    A line begins with its first note on the bar line, and its notes follow each other without rests. Its last note begins on a
    beat, is a note of the tonic triad, of the last line the tonic, and lasts until the line ends or until a rest, two beats or
    more. The tune ends with the last line: END comes next, or silence where the data have no END.

    lines: number of syllables of each line. Other arguments: see `syllables`.
    """

    def __init__(self, lines: Sequence[int], spec: Spec, metre: str, key: Key) -> None:
        bar = bar_steps(metre)
        self.beat = 6 if metre.endswith("/8") and bar % 6 == 0 else math.gcd(bar, STEPS)
        self.long = min(2 * self.beat, bar)
        self.name, self.voices, self.lines = f"lyrics of {len(lines)} lines", spec.shape[1], tuple(lines)
        self.sizes = [-(-((count - 1) * USUAL + self.long) // bar) * bar for count in lines]  # steps
        names = spec.x.names
        needed, length = sum(self.sizes), spec.shape[0] - (END in names)
        if needed > length:
            most = length // bar
            raise UserError(f"lyrics: these lines take {needed // bar} bars and tunes have {most} at most: leave some out")
        pitches = torch.from_numpy(Symbols(names).pitches)
        self.note, self.hold, self.rest = pitches >= 0, marks(names, HOLD), marks(names, REST)
        self.end = marks(names, END) if END in names else None
        degree = (pitches - key.tonic) % 12
        self.triad = self.note & torch.isin(degree, torch.tensor(TRIADS[key.mode]))
        self.tonic = self.note & (degree == 0)
        if not self.tonic.any():
            raise UserError(f"lyrics: the data have no {key.name} to end on: choose another key")

    def allowed(self, prefix: Tensor) -> Tensor:
        """See `src.models.constraints.Constraint`; the prefix [B, t] has the voices of each step one after another."""
        step, voice = divmod(prefix.shape[1], self.voices)
        if voice:
            return torch.ones(len(prefix), len(self.note), dtype=torch.bool)
        sung = prefix[:, :: self.voices]  # [B, step]
        start = 0
        for number, size in enumerate(self.sizes):
            if step < start + size:
                return self.within(sung[:, start:], number)
            start += size
        if self.end is not None:
            return self.end.expand(len(prefix), -1)
        return (self.rest if step == start else self.hold).expand(len(prefix), -1)

    def within(self, sung: Tensor, number: int) -> Tensor:
        """Which symbols [B, V] may follow the steps [B, t] of line `number` that are drawn."""
        place, size, count = sung.shape[1], self.sizes[number], self.lines[number]
        begins = self.note[sung]  # [B, t]
        left = count - begins.sum(1)  # notes to come
        lasted = place - torch.where(begins, torch.arange(place), -size).amax(1) if place else torch.full_like(left, size)
        latest = size - self.long - SHORTEST * (left - 1)  # where the next note begins at the latest
        last = left == 1
        may = (left > 0) & (lasted >= SHORTEST) & (place <= latest)
        may &= ~last | (place % self.beat == 0)
        must = (left > 0) & ((place >= latest) | (place == 0))
        closing = self.tonic if number == len(self.lines) - 1 else self.triad
        notes = torch.where(last[:, None], closing, self.note) & may[:, None]
        rested = self.rest[sung].any(1)
        rests = self.rest & ((left == 0) & (lasted >= self.long) & ~rested)[:, None]
        return notes | ((self.hold & ~must[:, None]) | rests)


def marks(names: Sequence[str], name: str) -> Tensor:
    """Which symbols are called this, bool [V]."""
    return torch.tensor([own == name for own in names])


def syllables(lines: Sequence[int], spec: Spec, metre: str, key: Key | None = None) -> Syllables:
    """The constraint of a tune for words; UserError if it does not fit the data.

    lines: number of syllables of each line, above 0. metre: such as "4/4". key: of the data; None for C major.
    """
    if not lines or min(lines) < 1:
        raise UserError("lyrics: a line has no syllable to sing: write words")
    return Syllables(lines, spec, metre, key or Key(0, "major"))
