"""The longest motifs that pieces have copied from others, exactly or transposed."""

import numpy as np

from src.evaluation.metrics.music.pieces import Pieces
from src.evaluation.metrics.sequences import Sequences, longest_copies

WIDEST = 128  # semitones, of an interval
FEWEST = 8  # notes of a motif for a piece to count as copied: shorter ones recur in all music of a style


def lines(pieces: Pieces, transposed: bool) -> tuple[Sequences, np.ndarray]:
    """Each voice with notes as a sequence of numbers, one per note, and the piece [L] of each.

    A number stands for pitch and duration; if `transposed` for the interval from the note before and the duration. Then a
    first note has no number.
    """
    notes = pieces.notes
    value = (notes.interval + WIDEST if transposed else notes.pitch) * (pieces.x.shape[1] + 1) + notes.duration
    kept = notes.follows if transposed else np.ones(len(value), bool)
    row, value = (notes.piece * pieces.voices + notes.voice)[kept], value[kept]
    rows, first, length = np.unique(row, return_index=True, return_counts=True)
    x = np.zeros((len(rows), length.max(initial=1)), np.int64)
    x[np.repeat(np.arange(len(rows)), length), np.arange(len(row)) - np.repeat(first, length)] = value
    return Sequences(x, length), rows // pieces.voices


def different(source: Sequences) -> Sequences:
    """Without sequences that occur before: they add no motif."""
    _, rows = np.unique(np.where(source.counted, source.x, -1), axis=0, return_index=True)
    return Sequences(source.x[np.sort(rows)], source.length[np.sort(rows)])


class Motifs:
    """Training pieces, arranged for the search of motifs. All pieces that are compared have the same width T."""

    def __init__(self, training: Pieces) -> None:
        self.exact, self.transposed = (different(lines(training, transposed)[0]) for transposed in (False, True))

    def longest(self, pieces: Pieces, transposed: bool) -> np.ndarray:
        """Notes of the longest motif of each piece that a voice of a training piece has, [N]; 0 for pieces without notes.

        An exact motif of k notes has the same k pitches and durations. A transposed one has the same k - 1 intervals, and the
        durations of all notes but the first.
        """
        own, piece = lines(pieces, transposed)
        source = self.transposed if transposed else self.exact
        found = np.zeros(len(pieces), np.int64)
        if transposed:
            found[pieces.notes.piece] = 1
        if len(own.x) and len(source.x):
            np.maximum.at(found, piece, longest_copies(own, source) + transposed)
        return found

    def metrics(self, pieces: Pieces) -> dict[str, float]:
        """`motif` and `motif_exact`: notes of the longest motif, transposed and exact, mean over pieces. `copied`: share of the
        pieces with a transposed motif of at least half of the notes of their busiest voice, and of at least FEWEST.
        """
        transposed = self.longest(pieces, transposed=True)
        notes = pieces.notes
        voices = np.bincount(notes.piece * pieces.voices + notes.voice, minlength=len(pieces) * pieces.voices)
        longest_voice = voices.reshape(len(pieces), -1).max(axis=1)
        copied = (2 * transposed >= longest_voice) & (transposed >= FEWEST)
        return {
            "motif": float(transposed.mean()),
            "motif_exact": float(self.longest(pieces, transposed=False).mean()),
            "copied": float(copied.mean()),
        }
