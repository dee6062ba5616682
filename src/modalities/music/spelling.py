"""How pitches are written in a key: F sharp in G major, G flat in D flat major."""

from typing import NamedTuple

from src.data.music.keys import Key

LETTERS = "FCGDAEB"  # along the line of fifths
# Where the twelve pitch classes begin on the line of fifths, from the key signature on: in major they go from the lowered third
# (E flat in C) to the raised fifth, in minor from the lowered second to the raised fourth, with the raised seventh between.
LOWEST = {"major": -3, "minor": -2}


class Spelling(NamedTuple):
    """alter: sharps of the letter, -1 for a flat. octave: of the letter, so that C4 is B sharp 3."""

    letter: str
    alter: int
    octave: int


def spell(pitch: int, key: Key) -> Spelling:
    """The letter, accidental and octave of a MIDI pitch in a key."""
    lowest = key.fifths + LOWEST[key.mode]
    fifths = lowest + (7 * pitch - lowest) % 12
    letter, alter = LETTERS[(fifths + 1) % 7], (fifths + 1) // 7
    return Spelling(letter, alter, (pitch - alter) // 12 - 1)


def key_name(key: Key) -> str:
    """ "Bb major", "F# minor"."""
    return f"{tonic_name(key)} {key.mode}"


def tonic_name(key: Key) -> str:
    """ "Bb" of B flat major, where `Key.name` has sharps alone."""
    letter, alter, _ = spell(60 + key.tonic, key)
    return f"{letter}{'#' * alter}{'b' * -alter}"


def signature(key: Key) -> dict[str, int]:
    """Letter -> alter of the key signature."""
    return {letter: (key.fifths + 6 - place) // 7 for place, letter in enumerate(LETTERS)}
