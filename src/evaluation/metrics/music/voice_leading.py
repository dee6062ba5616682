"""Errors of voice leading, as textbooks of harmony and Fang et al. 2020 (Bach or Mock?, arXiv:2006.13329) count them.

A *chord* is a step at which at least one voice begins a note and at least two voices sound: a held chord counts once, a
repeated one again, and a passing note makes a chord of its own. It changes from what sounded one step earlier.
"""

from itertools import combinations

import numpy as np

from src.evaluation.metrics.music.pieces import Pieces

FIFTH, OCTAVE = 7, 0  # semitones modulo 12


def chords(pieces: Pieces) -> np.ndarray:
    """Which steps are chords, [N, T]."""
    return pieces.onsets.any(axis=2) & ((pieces.sounds >= 0).sum(axis=2) >= 2)


def parallels(pieces: Pieces, interval: int) -> int:
    """How often two voices move in the same direction from one perfect interval to the same one, octaves disregarded.

    interval: FIFTH, or OCTAVE, which includes unisons. Each pair of voices counts.
    """
    before, after = pieces.sounds[:, :-1], pieces.sounds[:, 1:]
    moves = np.where((before >= 0) & (after >= 0), np.sign(after - before), 0)
    found = 0
    for a, b in combinations(range(pieces.voices), 2):
        together = (moves[..., a] == moves[..., b]) & (moves[..., a] != 0)
        same = [np.abs(sounds[..., a] - sounds[..., b]) % 12 == interval for sounds in (before, after)]
        found += int((together & same[0] & same[1]).sum())
    return found


def crossings(pieces: Pieces) -> int:
    """How many chords have a voice above the next higher one; each such pair counts."""
    upper, lower = pieces.sounds[..., :-1], pieces.sounds[..., 1:]
    crossed = (upper >= 0) & (lower > upper)
    return int((crossed & chords(pieces)[:, :, None]).sum())


def ranges(pieces: Pieces) -> np.ndarray:
    """The lowest and the highest pitch of each voice, [V, 2]; (128, -1) for voices without notes."""
    notes, found = pieces.notes, np.tile([128, -1], (pieces.voices, 1))
    np.minimum.at(found[:, 0], notes.voice, notes.pitch)
    np.maximum.at(found[:, 1], notes.voice, notes.pitch)
    return found


def outside(pieces: Pieces, allowed: np.ndarray) -> int:
    """How many notes are outside the range of their voice, [V, 2]."""
    notes = pieces.notes
    low, high = allowed[notes.voice].T
    return int(((notes.pitch < low) | (notes.pitch > high)).sum())


def errors(pieces: Pieces, allowed: np.ndarray) -> dict[str, float]:
    """Errors per hundred chords: parallel `fifths`, parallel `octaves`, `parallels` (both), `crossings`, and notes out of
    `ranges`; zeros without chords. allowed: see `outside`.
    """
    count = max(int(chords(pieces).sum()), 1)
    fifths, octaves = parallels(pieces, FIFTH), parallels(pieces, OCTAVE)
    found = {
        "parallels": fifths + octaves,
        "fifths": fifths,
        "octaves": octaves,
        "crossings": crossings(pieces),
        "ranges": outside(pieces, allowed),
    }
    return {name: 100 * number / count for name, number in found.items()}
