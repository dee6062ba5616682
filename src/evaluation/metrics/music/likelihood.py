"""The scales of a likelihood of music, and the likelihood of models that count.

All scales have the same sum, -log p of whole pieces in nats, and differ in what it is divided by. END is part of the sum: it
counts as one voice-step of each voice, and its step as a frame. Padding is part of neither.
"""

from dataclasses import dataclass, replace

import numpy as np

from src.data.music.notes import HOLD, Symbols
from src.data.vocabulary import END, PAD
from src.evaluation.metrics.ngrams import NGrams
from src.evaluation.metrics.sequences import Sequences

ORDER = 3


@dataclass(frozen=True)
class Scored:
    """Pieces whose likelihood is measured: symbols [N, T, V], of which the steps before `length` [N] count, END included."""

    x: np.ndarray
    length: np.ndarray
    names: tuple[str, ...]

    @property
    def counted(self) -> np.ndarray:
        """Which steps count, [N, T]."""
        return np.arange(self.x.shape[1]) < self.length[:, None]

    @property
    def frames(self) -> int:
        """Steps, of all voices together."""
        return int(self.length.sum())

    @property
    def voice_steps(self) -> int:
        """Steps of each voice: the symbols."""
        return self.frames * self.x.shape[2]

    @property
    def onsets(self) -> int:
        """Notes."""
        begins = Symbols(tuple(self.names)).pitches[self.x] >= 0
        return int((begins & self.counted[:, :, None]).sum())

    def voice(self, first: int, last: int | None = None) -> "Scored":
        """The voices from `first` to before `last` alone."""
        return replace(self, x=self.x[:, :, first:last])

    def total(self, nats: np.ndarray) -> float:
        """The sum of the nats of each symbol, [N, T, V] or [N, T * V], over those that count."""
        return float(nats.reshape(self.x.shape)[self.counted].sum())

    def in_units(self, nats: float) -> dict[str, float]:
        """A sum of nats over all pieces as `nats` per voice-step, `nats_frame` and `nats_onset`."""
        return {"nats": nats / self.voice_steps, "nats_frame": nats / self.frames, "nats_onset": nats / max(self.onsets, 1)}


class NoteNGrams:
    """n-grams of notes: an event is a symbol that is not HOLD (a pitch, REST, END) and how long it holds.

    Each voice has a model of its own (src.evaluation.metrics.ngrams), which sees the ORDER - 1 events before. The
    probability of a piece is the product over its events. It is a lower bound where pieces have a fixed length: events that
    would go on beyond the end have probability too. A piece that begins with HOLD begins with an event of it.
    """

    def __init__(self, seen: Scored, order: int = ORDER) -> None:
        self.names, self.steps = seen.names, seen.x.shape[1]
        symbol = np.repeat(np.arange(len(self.names)), self.steps)
        short = {PAD: 0, END: 1}
        most = np.array([short.get(name, self.steps) for name in self.names])
        possible = np.flatnonzero(np.tile(np.arange(self.steps), len(self.names)) < most[symbol])
        self.voices = [NGrams(events(seen, voice), order, possible) for voice in range(seen.x.shape[2])]

    def nats(self, scored: Scored) -> np.ndarray:
        """-log p of each voice, summed over the pieces, [V]."""
        found = []
        for voice, ngrams in enumerate(self.voices):
            own = events(scored, voice)
            found.append(ngrams.nats(own)[own.counted].sum())
        return np.array(found)

    def sample(self, n: int, seed: int = 0) -> np.ndarray:
        """Pieces [n, T, V]. Each voice is drawn by itself, and cut at T; after END nothing counts."""
        end = self.names.index(END) * self.steps if END in self.names else None
        x = np.full((n, self.steps, len(self.voices)), self.names.index(HOLD), np.int64)
        for voice, ngrams in enumerate(self.voices):
            drawn = ngrams.sample(n, self.steps, end, seed * len(self.voices) + voice)  # [n, T] events, more than needed
            begin = np.pad(np.cumsum(drawn % self.steps + 1, axis=1), ((0, 0), (1, 0)))[:, :-1]
            row, place = np.nonzero(begin < self.steps)
            x[row, begin[row, place], voice] = drawn[row, place] // self.steps
        return x


def events(scored: Scored, voice: int) -> Sequences:
    """The events of a voice as numbers, symbol * T + duration - 1; as many rows as pieces."""
    x, steps = scored.x[:, :, voice], scored.x.shape[1]
    begins = (x != scored.names.index(HOLD)) & scored.counted
    begins[:, 0] = True
    row, start = np.nonzero(begins)
    last = np.append(row[1:] != row[:-1], True)
    stop = np.where(last, scored.length[row], np.append(start[1:], 0))
    length = begins.sum(axis=1)
    found = np.zeros((len(x), int(length.max(initial=1))), np.int64)
    found[np.arange(found.shape[1]) < length[:, None]] = x[row, start] * steps + stop - start - 1
    return Sequences(found, length)


def held(seen: Scored, scored: Scored) -> np.ndarray:
    """-log p of each voice [V], summed over the pieces, if the last note is held with the share that HOLD has in `seen`, and
    all other symbols (but PAD) are equally probable.
    """
    hold, others = scored.names.index(HOLD), sum(name not in (PAD, HOLD) for name in scored.names)
    found = []
    for voice in range(scored.x.shape[2]):
        holds = seen.x[:, :, voice][seen.counted] == hold
        p = (holds.sum() + 1) / (len(holds) + 2)
        own = scored.x[:, :, voice][scored.counted] == hold
        found.append(-np.where(own, np.log(p), np.log((1 - p) / others)).sum())
    return np.array(found)
