"""How durations are written: notes cut at bar lines and beats, with ties, so that the beats can be seen."""

from collections.abc import Iterator
from typing import NamedTuple

from src.data.music.notes import bar_steps

# Steps of a sixteenth -> (note value, dots).
VALUES = {
    1: ("16th", 0),
    2: ("eighth", 0),
    3: ("eighth", 1),
    4: ("quarter", 0),
    6: ("quarter", 1),
    8: ("half", 0),
    12: ("half", 1),
    16: ("whole", 0),
    24: ("whole", 1),
}


class Metre(NamedTuple):
    """bar, beat: in steps; half: of a bar of four beats its middle, else the bar."""

    bar: int
    beat: int
    half: int

    @classmethod
    def of(cls, text: str) -> "Metre":
        beats, unit = map(int, text.split("/"))
        bar = bar_steps(text)
        beat = bar * 3 // beats if unit >= 8 and beats % 3 == 0 else bar // beats
        return cls(bar, beat, bar // 2 if bar == 4 * beat else bar)


def pieces(start: int, end: int, metre: Metre) -> Iterator[tuple[int, int]]:
    """(start, steps) of the notes that are written for one from step `start` up to `end`: each has one value of VALUES.

    They cross a bar line nowhere, and a beat only where that is usual: from one beat to another, or as a syncopation within
    half a bar.
    """
    while start < end:
        longest = min(end - start, metre.bar - start % metre.bar)
        steps = max(steps for steps in VALUES if steps <= longest and _reads_well(start % metre.bar, steps, metre))
        yield start, steps
        start += steps


def _reads_well(place: int, steps: int, metre: Metre) -> bool:
    """Whether a note value may begin at a place in the bar."""
    beat, half = metre.beat, metre.half
    simple = beat & (beat - 1) == 0  # beats of two parts, not of three
    if place % beat + steps <= beat:
        return True
    in_half = place % half + steps <= half
    if place % beat == 0:
        return steps % beat == 0 or (in_half and simple)
    return in_half and steps == beat and simple and place % beat == beat // 2
