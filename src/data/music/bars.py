"""Bars as they are written, with incomplete ones, to notes on a grid where each bar has its place."""

from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

from src.data.music.notes import Note


class Unusable(Exception):
    """A piece cannot be read; the message is the name of the count of such pieces."""


class Bar(NamedTuple):
    """What stands between two bar lines.

    notes: pitch (None is a rest), duration in steps, and whether it goes on with the note before. ends_section: whether a
    double line or a repeat mark follows.
    """

    notes: list[tuple[int | None, Fraction, bool]]
    ends_section: bool

    @property
    def steps(self) -> Fraction:
        return sum((steps for _, steps, _ in self.notes), Fraction())


class Exact(NamedTuple):
    """A note that may lie beside the grid, in steps."""

    pitch: int
    start: Fraction
    end: Fraction


def place(bars: Sequence[Bar], size: int, changes: Counter[str]) -> tuple[list[Exact], int]:
    """The notes, moved so that bar lines are at multiples of `size`, and the steps of the piece, a multiple of `size` too.

    An anacrusis ends a first bar, whose beginning is silence. Incomplete bars that make up one bar become it: the end of a
    section and the anacrusis of the next one. Where there is no such anacrusis, silence completes the bar; where the bar before
    an anacrusis is complete, its last note becomes shorter. Both are counted. A bar line that is missing between two bars does
    not matter. Raises Unusable for other bars.
    """
    notes, at, section = list[Exact](), Fraction(), True
    for number, bar in enumerate(bars):
        steps = bar.steps
        if number == 0 and steps > size:
            at = -steps % size  # an anacrusis and the first bar without a bar line between them
        room = -at % size  # what the bar at hand lacks; 0 after a complete one
        if steps > (room or size) and (steps - room) % size:
            if not (section and room and steps <= size):
                raise Unusable("irregular_bars")
            at, room = at + room, Fraction()
            changes["completed_bars"] += 1
        incomplete = not room and steps < size and section and not bar.ends_section and number + 1 < len(bars)
        if incomplete and steps + bars[number + 1].steps > size:  # an anacrusis
            last = notes[-1] if notes else None
            if at == 0:
                at = size - steps
            elif last and (last.end <= at - steps or last.end - last.start > steps):
                changes["shortened_notes"] += last.end > at - steps
                at -= steps
                notes[-1] = last._replace(end=min(last.end, at))
            else:
                raise Unusable("irregular_bars")
        for pitch, duration, goes_on in bar.notes:
            if goes_on and notes and notes[-1].end == at:
                notes[-1] = notes[-1]._replace(end=at + duration)
            elif pitch is not None:
                notes.append(Exact(pitch, at, at + duration))
            at += duration
        section = bar.ends_section
    return notes, int(at + -at % size)


def quantise(notes: Sequence[Exact], changes: Counter[str]) -> list[Note]:
    """The notes on the grid.

    Notes that begin at a step stay there. Each other one moves to the nearer free step beside it, the earlier one if both
    are as near; it is left out if both are taken. A note ends at the nearest step, or where the next one begins.
    """
    taken = {int(note.start) for note in notes if note.start.denominator == 1}
    starts, last = list[int | None](), -1
    for note in notes:
        below = note.start.numerator // note.start.denominator
        if note.start.denominator == 1:
            steps = [below]
        else:
            near = [below, below + 1] if note.start - below <= Fraction(1, 2) else [below + 1, below]
            steps = [step for step in near if step not in taken and step > last][:1]
            changes["moved_to_the_grid" if steps else "too_short_for_the_grid"] += 1
        starts.append(steps[0] if steps else None)
        taken |= set(steps)
        last = max([last, *steps])
    placed = [(note, start) for note, start in zip(notes, starts, strict=True) if start is not None]
    found = list[Note]()
    for number, (note, start) in enumerate(placed):
        end = max(start + 1, round(note.end))
        if number + 1 < len(placed):
            end = min(end, placed[number + 1][1])
        found.append(Note(0, note.pitch, start, end - start))
    return found
