"""Attributes of pieces, as functions of their symbols: how many notes, how high, and what the names of their classes say."""

from collections.abc import Sequence

import numpy as np

from src.config.errors import UserError
from src.data.music.notes import Symbols, sounding

QUARTER = 0.25  # share of the pieces that have most of an attribute, and of those that have least


def notes_of(x: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Number of notes of each piece [N, T, V], [N]."""
    return (Symbols(tuple(names)).pitches[x] >= 0).sum(axis=(1, 2))


def heights_of(x: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Mean MIDI number of what sounds in each piece [N, T, V], float [N]; NaN for silence."""
    found = np.stack([sounding(piece, names) for piece in x])  # [N, T, V]
    sounds = found >= 0
    count = sounds.sum(axis=(1, 2))
    return np.where(sounds, found, 0).sum(axis=(1, 2)) / np.where(count, count, np.nan)


MEASURES = {"notes": notes_of, "height": heights_of}
# What people call them: the measure, and whether most of it is meant.
WORDS = {"more_notes": ("notes", True), "fewer_notes": ("notes", False), "higher": ("height", True), "lower": ("height", False)}


def check_attribute(name: str, classes: Sequence[str]) -> None:
    """Raise UserError unless a name is one of MEASURES or WORDS, or a word that some of the classes have and some have not."""
    if name not in (*MEASURES, *WORDS) and not 0 < sum(name in label.split() for label in classes) < len(classes):
        found = ", ".join(classes) or "none"
        raise UserError(f"attribute={name}: must be {', '.join(WORDS)} or a word that tells classes apart; classes: {found}")


def attribute(
    name: str, x: np.ndarray, names: Sequence[str], y: np.ndarray | None = None, classes: Sequence[str] = ()
) -> tuple[np.ndarray, np.ndarray]:
    """Which pieces [N, T, V] have an attribute and which lack it, both bool [N].

    name: "notes" or "height", of which the quarter of the pieces with most has it and the quarter with least lacks it (Roberts
    et al. 2018, section 5.4); one of WORDS; or a word in names of classes, such as "minor" or "6/8": then every piece has it or
    lacks it.
    names: of the symbols. y: class of each piece, [N]. classes: their names. UserError for what no class is called.
    """
    check_attribute(name, classes if y is not None else ())
    if word := WORDS.get(name):
        has, lacks = attribute(word[0], x, names)
        return (has, lacks) if word[1] else (lacks, has)
    if measure := MEASURES.get(name):
        values = measure(x, names)
        low, high = np.nanquantile(values, [QUARTER, 1 - QUARTER])
        return (values >= high) & (values > low), (values <= low) & (values < high)
    named = np.array([name in label.split() for label in classes], bool)
    return named[y], ~named[y]
