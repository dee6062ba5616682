"""How pitch classes, intervals, durations and onsets are distributed, and how far two distributions overlap.

Features: Yang and Lerch 2020, On the evaluation of generative models in music, Neural Computing and Applications 32, section 3
(pitch class histogram, pitch interval, note length histogram, note count per bar). Consistency of scale and groove: as muspy
defines them (Dong et al. 2020, arXiv:2008.01951; of the groove Wu and Yang 2020, arXiv:2008.01307).
"""

import numpy as np
from scipy.stats import gaussian_kde

from src.evaluation.metrics.music.pieces import Pieces, whole, windows

LEAP = 12  # semitones: larger intervals count as this one
LONGEST = 16  # steps: longer notes count as this one
COMPARED = 300  # at most, pieces whose distances are compared with each other
GRID = 200  # points at which densities are compared
MAJOR = np.array([1, 0, 1, 0, 1, 1, 0, 1, 0, 1, 0, 1])
SCALES = np.array([np.roll(MAJOR, tonic) for tonic in range(12)])  # [12, 12]; natural minor scales have the same pitch classes


def histograms(pieces: Pieces, bar: int) -> dict[str, np.ndarray]:
    """Counts [N, bins] of each piece by the name of the feature.

    pitch_class: notes of each pitch class, 0 is C. interval: semitones between neighbouring notes of a voice, -LEAP to LEAP.
    duration: notes of 1 .. LONGEST steps. onsets: whole bars, of each voice, in which 0 .. bar notes begin. bar: its steps.
    """
    notes, count = pieces.notes, len(pieces)
    follows = notes.follows
    each = (windows(pieces.onsets, bar).sum(axis=2), whole(pieces, bar))  # [N, bars, V], [N, bars]
    piece, place = np.nonzero(each[1])
    begun = each[0][piece, place]  # [M, V]
    return {
        "pitch_class": table(notes.piece, notes.pitch % 12, count, 12),
        "interval": table(notes.piece[follows], notes.interval[follows].clip(-LEAP, LEAP) + LEAP, count, 2 * LEAP + 1),
        "duration": table(notes.piece, notes.duration.clip(max=LONGEST) - 1, count, LONGEST),
        "onsets": table(np.repeat(piece, begun.shape[1]), begun.ravel(), count, bar + 1),
    }


def table(row: np.ndarray, value: np.ndarray, rows: int, values: int) -> np.ndarray:
    """How often each value occurs in each row, [rows, values]."""
    return np.bincount(row * values + value, minlength=rows * values).reshape(rows, values)


def shares(counts: np.ndarray) -> np.ndarray:
    """Counts [..., K] as shares of their sum; zeros stay zeros."""
    return counts / np.maximum(counts.sum(axis=-1, keepdims=True), 1)


def overlap(counts: np.ndarray, others: np.ndarray) -> float:
    """sum_k min(p_k, q_k) of two histograms [K], 0 to 1: the area that they share."""
    return float(np.minimum(shares(counts), shares(others)).sum())


def overlapped_area(samples: np.ndarray, real: np.ndarray) -> float:
    """The overlapped area of Yang and Lerch 2020, section 4.2, 0 to 1, of histograms [N, K] and [M, K].

    Two densities share it: of the Euclidean distances between pieces of the real set, and of those from samples to real pieces.
    Densities are estimated with Gaussian kernels and Scott's rule. The first COMPARED pieces of each set are compared.
    """
    a, b = shares(samples[:COMPARED]), shares(real[:COMPARED])
    within = distances(b, b)[np.triu_indices(len(b), 1)]
    between = distances(a, b).ravel()
    if len(within) < 2 or len(between) < 2 or not within.std() or not between.std():  # no density
        return float(len(within) > 0 and np.allclose(within.mean(), between))
    low, high = min(within.min(), between.min()), max(within.max(), between.max())
    margin = 0.1 * (high - low)
    grid = np.linspace(low - margin, high + margin, GRID)
    shared = np.minimum(gaussian_kde(within)(grid), gaussian_kde(between)(grid))
    return float(min(np.trapezoid(shared, grid), 1.0))


def distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Euclidean distances [N, M] between rows [N, K] and [M, K]."""
    squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T
    return np.sqrt(squares.clip(min=0))


def scale_consistency(pitch_classes: np.ndarray) -> float:
    """Share of notes in the scale that fits a piece best, of the major and natural minor ones; mean over pieces with notes.

    pitch_classes: notes of each pitch class, [N, 12].
    """
    found = pitch_classes[pitch_classes.sum(axis=1) > 0]
    return float((shares(found) @ SCALES.T).max(axis=1).mean()) if len(found) else 0.0


def groove_consistency(pieces: Pieces, bar: int) -> float:
    """1 - the share of steps at which only one of two neighbouring bars has an onset of any voice; mean over pairs of bars."""
    begins = windows(np.any(pieces.onsets, axis=2, keepdims=True), bar)[..., 0]  # [N, bars, bar]
    pairs = whole(pieces, bar)[:, 1:]
    differing = (begins[:, 1:] != begins[:, :-1]).mean(axis=2)
    return float(1 - differing[pairs].mean()) if pairs.any() else 0.0
