"""Small music for tests: random walks on the white keys, of one voice with ends or of four voices with the melody."""

import numpy as np

from src.data.dataset import SPLITS, Arrays
from src.data.music.notes import RATE, Note, Symbols
from src.data.music.rolls import Rolls
from src.data.spec import Field, Spec
from src.data.vocabulary import END, PAD

WHITE = [60, 62, 64, 65, 67, 69, 71, 72, 74, 76, 77, 79]
COUNTS = {"train": 60, "validation": 12, "test": 16}


def walk(random: np.random.Generator, steps: int, voice: int = 0) -> list[Note]:
    """A voice is a walk an octave below the one above it."""
    notes, start, place = [], 0, int(random.integers(3, 9))
    while start < steps:
        duration = min(int(random.choice([2, 4])), steps - start)
        place = int(np.clip(place + random.integers(-2, 3), 0, len(WHITE) - 1))
        notes.append(Note(voice, WHITE[place] - 12 * voice, start, duration))
        start += duration
    return notes


class Walks:
    """Tunes of one voice and two to four bars, with END; with `voices` above 1 four bars of as many, without END."""

    def __init__(self, voices: int = 1, ends: bool = True) -> None:
        self.voices, self.ends = voices, ends
        self.name = f"walks_{voices}" + "_ends" * ends
        self.symbols = Symbols.of(range(22, 80), ends=ends)
        field = Field("tokens", (64 + ends, voices), "int64", names=self.symbols.names, rate=RATE)
        fields = {"x": field} | ({"length": Field("length", (), "int64")} if ends else {})
        if voices > 1:
            fields["melody"] = Field("tokens", (64,), "int64", names=self.symbols.names, rate=RATE)
        self.spec = Spec(fields)
        self.splits = {name: self.draw(np.random.default_rng(seed), COUNTS[name]) for seed, name in enumerate(SPLITS)}

    def draw(self, random: np.random.Generator, count: int) -> Arrays:
        x = np.full((count, *self.spec.shape), self.symbols.names.index(PAD) if self.ends else 0, np.int64)
        length = np.full(count, 64)
        for row in range(count):
            length[row] = 16 * random.integers(2, 5) if self.ends else 64
            notes = [note for voice in range(self.voices) for note in walk(random, length[row], voice)]
            x[row, : length[row]] = self.symbols.encode(notes, length[row], self.voices)
        if self.ends:
            x[np.arange(count), length] = self.symbols.names.index(END)
        return Arrays(x=x, length=length + 1 if self.ends else None, melody=x[..., 0].copy() if self.voices > 1 else None)

    def prepare(self) -> None: ...

    def notes(self) -> dict[str, int]:
        return {}

    def hashes(self) -> dict[str, str]:
        return {}

    def split(self, name: str) -> Arrays:
        return self.splits[name]


def rolls() -> Rolls:
    return Rolls(Walks(2, ends=False), "walks_rolls")
