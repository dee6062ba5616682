"""ABC to notes on the grid: what is expected is worked out by hand from the text."""

from collections import Counter
from fractions import Fraction

import pytest

from src.data.music.abc import clean, read_tune, tunes
from src.data.music.bars import Bar, Exact, Unusable, place, quantise
from src.data.music.notes import Note, bar_steps, pitch_name

pytest.importorskip("music21", reason="an extra: pip install -c requirements.lock -e '.[music]'")


def tune(
    body: str, metre: str = "4/4", key: str = "C", length: str = "1/8"
) -> tuple[list[tuple[str, int, int]], int, Counter[str]]:
    """Names, starts and durations of a tune's notes, its steps, and what was changed."""
    found = read_tune(f"X:1\nT:a tune\nM:{metre}\nL:{length}\nK:{key}\n{body}\n")
    exact, steps = place(found.bars, bar_steps(found.metre), found.changes)
    notes = quantise(exact, found.changes)
    return [(pitch_name(note.pitch), note.start, note.duration) for note in notes], steps, +found.changes


def test_keys_accidentals_and_ties() -> None:
    notes, steps, _ = tune("F2 =F2 F2 f2|F2 ^A4-A2-|A4 A4|", key="G")
    assert steps == 48
    assert notes == [
        ("F#4", 0, 4),
        ("F4", 4, 4),
        ("F4", 8, 4),  # an accidental holds to the bar line
        ("F#5", 12, 4),  # in its octave alone
        ("F#4", 16, 4),
        ("A#4", 20, 20),  # a tie carries it over the bar line
        ("A4", 40, 8),
    ]


def test_anacrusis_repeats_and_endings() -> None:
    notes, steps, changes = tune("GA|:c4 d4|1 e4 d2 GA:|2 e4 c2||Bc|d8|e6|]", key="C")
    assert steps == 16 * 5
    assert [(name, start) for name, start, _ in notes] == [
        ("G4", 12),
        ("A4", 14),
        ("C5", 16),
        ("D5", 24),
        ("E5", 32),
        ("C5", 40),
        ("B4", 44),
        ("C5", 46),
        ("D5", 48),
        ("E5", 64),
    ]
    assert changes == {"first_endings": 1}


def test_an_anacrusis_before_a_repeated_part() -> None:
    notes, steps, _ = tune("c8|c6:|GA|:c8|d8:|")
    assert ([start for _, start, _ in notes], steps) == ([0, 16, 28, 30, 32, 48], 64)


def test_decorations_graces_chords_and_tuplets() -> None:
    notes, _, changes = tune('"Am"vA2 {Bc}Hc2 (3{d}efg [ce]2|!trill!~c>d TF<G .A2 "2"z2|')
    assert notes == [
        ("A4", 0, 4),
        ("C5", 4, 4),
        ("E5", 8, 1),
        ("F5", 9, 2),
        ("G5", 11, 1),
        ("E5", 12, 4),
        ("C5", 16, 3),
        ("D5", 19, 1),
        ("F4", 20, 1),
        ("G4", 21, 3),
        ("A4", 24, 4),
    ]
    assert changes == {"grace_notes": 3, "notes_of_chords": 1, "moved_to_the_grid": 2}


def test_what_a_tune_says_of_itself() -> None:
    found = read_tune("X:7\nT:The Tune\nT:Another Name\nM:C|\nL:1/8\nK:A Dorian\nA8|\n")
    assert found[:5] == ("The Tune", "2/2", "A Dorian", 1, "minor")
    assert read_tune("X:7\nM:6/8\nK:Dmix\nA6|\n")[1:5] == ("6/8", "Dmix", 1, "major")
    assert len([*tunes("% a comment\nX:1\nK:C\nA|\n\nX: 2\nK:G\nB|\n")]) == 2
    assert clean("X:1\nK:C\n{a}A2 [M:2/4]B(c")[0] == "X:1\nK:C\nA2 \nM:2/4\nBc\n"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("M:4/4\nK:C\nA4|\nM:3/4\nc6|\n", "metre_changes"),
        ("M:none\nK:C\nA4|\n", "without_metre"),
        ("M:4/4\nA4|\n", "without_key"),
        ("M:4/4\nL:1/8\nK:C\nc8|c3|c8|c8|\n", "irregular_bars"),
        ("M:4/4\nL:1/8\nK:C\nc8|c10|c8|\n", "irregular_bars"),
        ("M:4/4\nL:1/8\nK:C\nV:1\nc8|\nV:2\nC8|\n", "several_voices"),
    ],
)
def test_other_tunes_are_left_out(text: str, reason: str) -> None:
    def read() -> None:
        found = read_tune(f"X:1\n{text}")
        place(found.bars, bar_steps(found.metre), Counter())

    with pytest.raises(Unusable, match=reason):
        read()


def bar(*durations: int, ends: bool = False) -> Bar:
    return Bar([(60, Fraction(steps), False) for steps in durations], ends)


def test_where_bars_are_placed() -> None:
    """Starts, the piece's steps, and the changes, of bars of 8 steps."""

    def starts(*bars: Bar) -> tuple[list[int], int, Counter[str]]:
        changes = Counter[str]()
        notes, steps = place(bars, 8, changes)
        return [int(note.start) for note in notes], steps, +changes

    assert starts(bar(8), bar(8)) == ([0, 8], 16, Counter())
    assert starts(bar(2), bar(8), bar(6, ends=True)) == ([6, 8, 16], 24, Counter())
    assert starts(bar(2), bar(8), bar(6, ends=True), bar(2), bar(8), bar(6)) == ([6, 8, 16, 22, 24, 32], 40, Counter())
    assert starts(bar(8), bar(6, ends=True), bar(8)) == ([0, 8, 16], 24, Counter(completed_bars=1))
    assert starts(bar(8, ends=True), bar(2), bar(8)) == ([0, 6, 8], 16, Counter(shortened_notes=1))
    assert starts(bar(2, 8), bar(8, 8)) == ([6, 8, 16, 24], 32, Counter())  # bar lines are missing
    assert starts(bar(4), bar(4), bar(8)) == ([0, 4, 8], 16, Counter())  # one too many
    for wrong in ([bar(8), bar(3), bar(8)], [bar(8), bar(9)], [bar(5, 1, 1, 1, ends=True), bar(2), bar(8)]):
        with pytest.raises(Unusable):
            starts(*wrong)


def test_the_grid_by_brute_force() -> None:
    """Every rhythm of two beats in halves and thirds of steps: order is kept, nothing overlaps, on-grid notes stay."""
    for cells in range(1, 2**11):
        starts = [Fraction(n, 6) * 4 for n in range(12) if n == 0 or cells >> (n - 1) & 1]  # multiples of 2/3 of a step
        exact = [Exact(60 + n, a, b) for n, (a, b) in enumerate(zip(starts, [*starts[1:], Fraction(8)], strict=True))]
        changes = Counter[str]()
        notes = quantise(exact, changes)
        assert len(notes) + changes["too_short_for_the_grid"] == len(exact)
        assert [note.pitch for note in notes] == sorted(note.pitch for note in notes)
        for a, b in zip(notes, [*notes[1:], Note(0, 0, 99, 1)], strict=True):
            assert a.duration >= 1
            assert a.start + a.duration <= b.start
            assert abs(a.start - starts[a.pitch - 60]) < 1
            assert starts[a.pitch - 60].denominator > 1 or a.start == starts[a.pitch - 60]
