"""How a melody fits its chords, without a reference: Yeh et al. 2021 (arXiv:2001.02360), section 5.2.

The melody is the highest voice. There is a chord for each beat: the pitch classes that the other voices sound at its first
step. All three measures weigh a note by its steps that lie in beats with a chord; steps in which the melody rests do not count.
"""

from typing import NamedTuple

import numpy as np

from src.evaluation.metrics.music.pieces import Pieces

STEP = 2  # semitones: the largest step of a melody
# Of a melody note above a chord's note, by semitones modulo 12: unison, thirds, fifth and sixths 1, fourth 0, others -1.
CONSONANCE = np.array([1, -1, -1, 1, 1, 0, -1, 1, 1, 1, -1, -1])
# Coordinates of the 12 pitch classes on the circles of fifths, minor and major thirds, [12, 6]; Harte et al. 2006, Detecting
# harmonic change in musical audio, eq. 1.
ANGLES = np.arange(12)[:, None] * np.pi * np.array([7 / 6, 3 / 2, 2 / 3])
TONAL = np.stack([np.sin(ANGLES), np.cos(ANGLES)], axis=2).reshape(12, 6) * np.repeat([1.0, 1.0, 0.5], 2)


class Fit(NamedTuple):
    """The steps of melodies over chords: melody's pitch [M], chord's pitch classes as 0 and 1 [M, 12], and whether the next
    note of the melody is another one, at most STEP semitones away [M].
    """

    pitch: np.ndarray
    chord: np.ndarray
    resolves: np.ndarray

    @classmethod
    def of(cls, pieces: Pieces, beat: int) -> "Fit":
        """beat: its steps."""
        n, t, _ = pieces.x.shape
        melody, others = pieces.sounds[..., 0], pieces.sounds[..., 1:]
        first = np.arange(t) // beat * beat
        chord = np.zeros((n, t, 12), bool)
        for pitch in others[:, first].transpose(2, 0, 1):  # of each voice, [N, T]
            chord |= (pitch[..., None] % 12 == np.arange(12)) & (pitch[..., None] >= 0)
        notes = pieces.notes
        top = notes.voice == 0
        following = np.zeros((n, t + 1), np.int64)  # at the start of a note, 1 if the next one resolves it, plus 1
        piece, pitch, start = notes.piece[top], notes.pitch[top], notes.start[top]
        step = np.abs(np.diff(pitch, append=pitch[-1:]))
        same = np.append(piece[1:] == piece[:-1], False)[: len(piece)]
        following[piece, start] = 1 + (same & (step <= STEP) & (step > 0))
        begun = np.maximum.accumulate(np.where(following[:, :-1] > 0, np.arange(t), 0), axis=1)
        resolves = np.take_along_axis(following, begun, axis=1) == 2
        kept = (melody >= 0) & chord.any(axis=2)
        return cls(melody[kept], chord[kept], resolves[kept])


def chord_tones(fit: Fit) -> float:
    """CTnCTR (chord tone to non-chord tone ratio), 0 to 1: (n_c + n_p) / (n_c + n_n).

    n_c, n_n: steps with notes in and not in the chord. n_p: those of n_n whose next note is at most two semitones away.
    """
    inside = fit.chord[np.arange(len(fit.pitch)), fit.pitch % 12]
    return float((inside | fit.resolves).mean()) if len(inside) else 0.0


def pitch_consonance(fit: Fit) -> float:
    """PCS (pitch consonance score), -1 to 1: the mean of CONSONANCE over the chord's notes and the steps.

    The melody is taken to be above the chord.
    """
    scores = CONSONANCE[(fit.pitch[:, None] - np.arange(12)) % 12] * fit.chord  # [M, 12]
    return float((scores.sum(axis=1) / fit.chord.sum(axis=1)).mean()) if len(scores) else 0.0


def tonal_distance(fit: Fit) -> float:
    """MCTD (melody-chord tonal distance), 0 and up: mean distance of the tonal centroids of the melody's note and the chord."""
    centroids = fit.chord @ TONAL / fit.chord.sum(axis=1, keepdims=True)  # [M, 6]
    return float(np.linalg.norm(TONAL[fit.pitch % 12] - centroids, axis=1).mean()) if len(fit.pitch) else 0.0


def fit_of(pieces: Pieces, beat: int) -> dict[str, float]:
    """`ctnctr`, `pcs` and `mctd` of pieces with two voices or more; zeros where no melody sounds over a chord."""
    fit = Fit.of(pieces, beat)
    return {"ctnctr": chord_tones(fit), "pcs": pitch_consonance(fit), "mctd": tonal_distance(fit)}
