"""Pieces moved to one key, so that pieces in all keys can be compared with pieces in some."""

import numpy as np

from src.data.music.keys import PROFILES
from src.data.music.notes import Symbols
from src.data.vocabulary import END
from src.evaluation.metrics.music.pieces import Pieces

PITCHES = 128
MAJOR, MINOR = (np.array([np.roll(PROFILES[mode], tonic) for tonic in range(12)]) for mode in ("major", "minor"))


def signatures(pieces: Pieces) -> np.ndarray:
    """Semitones, -6 to 5, that move each piece to C major or A minor, [N]; 0 for pieces without notes.

    Its key is that whose profile correlates best with the durations of the pitch classes, see src.data.music.keys.
    """
    notes, count = pieces.notes, len(pieces)
    weights = np.bincount(notes.piece * 12 + notes.pitch % 12, notes.duration, count * 12).reshape(count, 12)
    # The tonic of a minor key counts as that of its relative major.
    profiles = np.stack([MAJOR, np.roll(MINOR, 3, axis=0)])  # [2, 12, 12]
    centred = profiles - profiles.mean(axis=2, keepdims=True)
    fits = (weights @ (centred / np.linalg.norm(centred, axis=2, keepdims=True)).transpose(0, 2, 1)).max(axis=0)  # [N, 12]
    return np.where(weights.std(axis=1) > 0, (6 - fits.argmax(axis=1)) % 12 - 6, 0)


def in_one_key(pieces: Pieces) -> Pieces:
    """The pieces in C major or A minor, with symbols for all pitches; those beyond 0 and 127 are moved by octaves."""
    symbols = Symbols.of(range(PITCHES), ends=END in pieces.names)
    pitches = pieces.symbols.pitches
    others = np.array(
        [0 if pitch >= 0 else symbols.names.index(name) for name, pitch in zip(pieces.names, pitches, strict=True)]
    )
    moved = pitches[pieces.x] + signatures(pieces)[:, None, None]
    moved = moved + 12 * (moved < 0) - 12 * (moved >= PITCHES)
    first = symbols.names.index("C-1")
    return Pieces(np.where(pitches[pieces.x] >= 0, first + moved, others[pieces.x]), symbols.names)
