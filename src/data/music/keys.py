"""Keys: their names, and an estimate of the key of some notes."""

import re
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from src.config.errors import UserError
from src.data.music.notes import NAMES, Note

FLATS = {"Db": "C#", "Eb": "D#", "Gb": "F#", "Ab": "G#", "Bb": "A#", "Cb": "B", "Fb": "E", "E#": "F", "B#": "C"}
# How well each pitch class fits C major and C minor: Krumhansl and Kessler 1982, Psychological Review 89, figure 2.
PROFILES = {
    "major": (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88),
    "minor": (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17),
}
# Fifths above C of each tonic: sharps of the signature of a major key, flats below 0.
FIFTHS = {"major": (0, -5, 2, -3, 4, -1, 6, 1, -4, 3, -2, 5), "minor": (-3, 4, -1, -6, 1, -4, 3, -2, 5, 0, -5, 2)}


class Key(NamedTuple):
    """tonic: pitch class 0..11, 0 is C. mode: "major" or "minor"."""

    tonic: int
    mode: str

    @classmethod
    def of(cls, text: str) -> "Key":
        """A key that a person types, such as "G", "Bb", "Em", "F# minor"; UserError for others."""
        found = re.fullmatch(r"\s*([A-Ga-g])([#b♯♭]?)\s*(m|min|minor|maj|major)?\s*", text)
        letter = f"{found[1].upper()}{found[2].replace('♯', '#').replace('♭', 'b')}" if found else ""
        if not found or FLATS.get(letter, letter) not in NAMES:
            raise UserError(f"key={text}: write a major key as G or Bb, a minor key as Em or F#m")
        return cls(
            NAMES.index(FLATS.get(letter, letter)), "minor" if (found[3] or "").startswith("mi") or found[3] == "m" else "major"
        )

    @property
    def name(self) -> str:
        return f"{NAMES[self.tonic]} {self.mode}"

    @property
    def fifths(self) -> int:
        """Sharps of the key signature, -6 (six flats) to 6."""
        return FIFTHS[self.mode][self.tonic]


def estimate_key(notes: Iterable[Note]) -> Key:
    """The key whose profile correlates best with the durations of the pitch classes (Krumhansl 1990, chapter 4).

    C major if there are no notes, or if all pitch classes last equally long.
    """
    weights = np.zeros(12)
    for note in notes:
        weights[note.pitch % 12] += note.duration
    if weights.std() == 0:
        return Key(0, "major")
    keys = [Key(tonic, mode) for mode in PROFILES for tonic in range(12)]
    fits = [np.corrcoef(weights, np.roll(PROFILES[key.mode], key.tonic))[0, 1] for key in keys]
    return keys[int(np.argmax(fits))]


def to_key(found: Key, wanted: Key) -> int:
    """Semitones, -6 to 5, from one key to another of the same mode; of another mode to its relative key."""
    relative = (
        wanted if wanted.mode == found.mode else Key((wanted.tonic + (3 if wanted.mode == "minor" else -3)) % 12, found.mode)
    )
    return (relative.tonic - found.tonic + 6) % 12 - 6
