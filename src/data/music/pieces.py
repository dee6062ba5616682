"""Pieces as our own files hold them: one in each line, with its split."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from src.data.dataset import SPLITS
from src.data.held_out import digest, groups, ranked_splits
from src.data.music.notes import STEPS, Note, bar_steps

BEATS = 8  # of a window of a chorale's melody


class Piece(NamedTuple):
    """A piece whose bar lines are at multiples of bar_steps(metre).

    source: the collection. key: as its source writes it. mode: "major" or "minor". shift: semitones from the pitches of the
    source to those here. steps: a multiple of bar_steps(metre).
    """

    split: str
    source: str
    title: str
    metre: str
    key: str
    mode: str
    shift: int
    steps: int
    notes: list[Note]


def to_lines(pieces: Iterable[Piece]) -> bytes:
    """JSON, one piece in each line."""
    return "".join(json.dumps(piece, ensure_ascii=False, separators=(",", ":")) + "\n" for piece in pieces).encode()


def read_pieces(path: Path) -> list[Piece]:
    """The inverse of `to_lines`."""
    with open(path, encoding="utf-8") as file:
        rows = [Piece(*json.loads(line)) for line in file]
    return [piece._replace(notes=[Note(*note) for note in piece.notes]) for piece in rows]


def placed(
    pieces: Sequence[Piece],
    windows: Callable[[Piece], set[str]],
    counts: Counter[str],
    shared: float = 0.2,
    held_out: float = 0.05,
) -> list[Piece]:
    """The pieces with their splits, in the order of their hashes; related ones are in one split.

    A piece that is another one in another key is left out and counted. windows: of a piece, in words.
    shared: two pieces are related if they have this share of the windows of the shorter one in common. held_out: the share of
    validation, and of test.
    """
    kept: dict[str, Piece] = {}
    for piece in pieces:
        counts["repeated"] += (text := described(piece)) in kept
        kept.setdefault(text, piece)
    group = groups([sorted(windows(piece)) for piece in kept.values()], shared)
    found = ranked_splits([*kept], group, held_out)
    counts["related"] = len(group) - len(set(group))
    order = sorted(zip(kept, found, kept.values(), strict=True), key=lambda row: digest(row[0]))
    counts.update({"kept": len(order)} | {name: found.count(name) for name in SPLITS})
    return [piece._replace(split=split) for _, split, piece in order]


def described(piece: Piece) -> str:
    """A piece in words that do not change with its key."""
    first = piece.notes[0].pitch
    return f"{bar_steps(piece.metre)} " + " ".join(f"{n.voice}:{n.pitch - first}:{n.start}:{n.duration}" for n in piece.notes)


def bar_windows(piece: Piece) -> set[str]:
    """Two bars at each bar line with their intervals and onsets.

    Onsets are in parts of a bar, so that a tune is the same in 2/4 and in 4/4 of twice the durations. Windows with fewer than
    three notes are left out, unless there are no others.
    """
    size = bar_steps(piece.metre)
    found = set()
    for start in range(0, max(1, piece.steps - size), size):
        inside = [note for note in piece.notes if start <= note.start < start + 2 * size]
        if len(inside) >= 3:
            found.add(" ".join(f"{note.pitch - inside[0].pitch}:{Fraction(note.start - start, size)}" for note in inside))
    return found or {described(piece)}


def melody_windows(piece: Piece) -> set[str]:
    """The intervals of each eight successive pitches of voice 0 on beats, whatever their rhythm.

    A chorale's melody keeps them in another metre and with other passing notes.
    """
    melody = [note for note in piece.notes if note.voice == 0]
    beats = [
        note.pitch
        for step in range(0, piece.steps, STEPS)
        for note in melody
        if note.start <= step < note.start + note.duration
    ]
    intervals = [b - a for a, b in pairwise(beats) if a != b]
    return {" ".join(map(str, intervals[n : n + BEATS - 1])) for n in range(len(intervals) - BEATS + 2)} or {described(piece)}
