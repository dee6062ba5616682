"""One sample as a person hears and reads it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from src.data.music.keys import Key, estimate_key
from src.data.music.notes import STEPS, Note, Symbols, bar_steps
from src.modalities.music.lyrics import Syllable
from src.modalities.music.spelling import key_name

HIGHEST = 127  # MIDI number
C_MAJOR, A_MINOR = Key(0, "major"), Key(9, "minor")


@dataclass(frozen=True)
class Tune:
    """Notes, by start, on a grid of `steps` sixteenths: whole bars of `metre`.

    tempo: quarter notes per minute. words: sung to the notes of voice 0, in order.
    """

    notes: tuple[Note, ...]
    steps: int
    voices: int = 1
    metre: str = "4/4"
    tempo: float = 120.0
    key: Key = C_MAJOR
    words: tuple[Syllable, ...] = ()

    @classmethod
    def of(
        cls,
        symbols: np.ndarray,
        names: Symbols,
        metre: str,
        tempo: float,
        words: Iterable[Syllable] = (),
        key: Key | None = None,
    ) -> Self:
        """A sample [T, V]; one bar of silence if it has no step before its end. key: None to estimate it."""
        notes, bar = names.decode(symbols), bar_steps(metre)
        steps = max(1, -(-names.length(symbols) // bar)) * bar
        return cls(tuple(notes), steps, symbols.shape[1], metre, tempo, key or estimate_key(notes), tuple(words))

    @property
    def bar(self) -> int:
        """Steps of a bar."""
        return bar_steps(self.metre)

    @property
    def step_seconds(self) -> float:
        return 60 / self.tempo / STEPS

    @property
    def title(self) -> str:
        return f"{key_name(self.key)}, {self.metre}"

    def transposed(self, semitones: int) -> Self:
        """Higher by some semitones; an octave lower or higher than that where MIDI has no such pitch."""
        if not semitones or not self.notes:
            return self
        pitches = [note.pitch + semitones for note in self.notes]
        semitones += 12 * (min(pitches) < 0) - 12 * (max(pitches) > HIGHEST)
        notes = tuple(note._replace(pitch=note.pitch + semitones) for note in self.notes)
        return replace(self, notes=notes, key=Key((self.key.tonic + semitones) % 12, self.key.mode))

    def first(self, seconds: float) -> Self:
        """The whole bars that begin within the first seconds; notes that go on are cut."""
        steps = min(self.steps, max(1, int(seconds / self.step_seconds) // self.bar) * self.bar)
        notes = (note for note in self.notes if note.start < steps)
        cut = tuple(note._replace(duration=min(note.duration, steps - note.start)) for note in notes)
        return replace(self, notes=cut, steps=steps)


def one_after_another(tunes: Sequence[Tune]) -> Tune:
    """All tunes as one, each after a bar of silence; in the key, metre and tempo of the first."""
    start, notes = 0, list[Note]()
    for tune in tunes:
        notes += [note._replace(start=note.start + start) for note in tune.notes]
        start += tune.steps + tune.bar
    first = tunes[0]
    steps = -(-max(first.bar, start - tunes[-1].bar) // first.bar) * first.bar
    return replace(first, notes=tuple(notes), steps=steps, words=())
