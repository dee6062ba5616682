"""Numbers and the table of means as text, for both HTML and Markdown."""

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from src.reporting.tables import Column, Group, Summary, Table

MARKS = "†‡§¶"


class Cell(NamedTuple):
    text: str
    half: str = ""  # half-width of an interval, with its sign
    marks: str = ""  # one for each control that does better


class Sheet(NamedTuple):
    """The table of means, without the recipes' labels and counts."""

    heads: list[Cell]
    recipes: list[list[Cell]]
    controls: dict[str, list[Cell]]  # display name -> cells
    note: str  # what the marks mean; empty without any


def sheet(table: Table, columns: Sequence[Column]) -> Sheet:
    """The means in these columns, each marked if a control other than the floor is better.

    If a control beats all recipes, the column's head has the mark instead: copies of training data beat nearly every generator
    in every distance.
    """
    names = {name: table.control_names.get(name, name) for name in table.controls}
    marks: dict[str, str] = {}
    flags: dict[tuple[str, str], str] = defaultdict(str)  # (label, or "" for the head; key of the column) -> marks
    for name in [*names][1:]:
        for column in columns:
            beaten, everywhere = table.beaten_by(name, column)
            for label in [""] if beaten and everywhere else beaten:
                mark = MARKS[len(marks) % len(MARKS)] * (len(marks) // len(MARKS) + 1)
                flags[label, column.key] += marks.setdefault(names[name], mark)

    def row(label: str, texts: Sequence[tuple[str, str]], floor: str) -> list[Cell]:
        cells = [Cell(*text, flags[label, column.key]) for text, column in zip(texts, columns, strict=True)]
        if table.unit:
            cells.insert(1 + [column.key for column in columns].index(table.main), Cell(floor))
        return cells

    def times(value: float | None) -> str:
        return f"{value / table.unit:.1f}" if value is not None and table.unit else "-"

    recipes = []
    for group in table.groups:
        main = group.summary(table.main)
        means = [bounded(mean(group.summary(column.key)), column.key in group.bounds) for column in columns]
        recipes.append(row(group.label, means, times(main.mean if main else None)))
    controls = {}
    for name, metrics in table.controls.items():
        values = [(number(metrics[column.key]) if column.key in metrics else "-", "") for column in columns]
        controls[names[name]] = row(names[name], values, times(metrics.get(table.main)))
    listed = "; ".join(f"{mark} {name}" for name, mark in marks.items())
    notes = [f"{listed}: better than the recipe, or in a column's head than every recipe."] if listed else []
    if kinds := [f"{group.label}: {kind}" for group in table.groups for kind in dict.fromkeys(group.bounds.values())]:
        notes.append(f"≤ is an upper bound ({'; '.join(kinds)}).")
    return Sheet(
        heads=row("", [(column.header, "") for column in columns], "times the floor"),
        recipes=recipes,
        controls=controls,
        note=" ".join(notes),
    )


def number(value: float) -> str:
    """Four significant digits, four decimals at most."""
    if not value:
        return "0"
    return f"{value:.{min(4, max(0, 3 - math.floor(math.log10(abs(value)))))}f}"


def rounded(value: float, half_width: float) -> str:
    """The value with as many decimals as give the half-width two significant digits, four at most."""
    if not half_width:
        return number(value)
    return f"{value:.{min(4, max(0, 1 - math.floor(math.log10(half_width))))}f}"


def mean(summary: Summary | None) -> tuple[str, str]:
    """(mean, half-width of its interval with "±"); "-" without a mean, "" without an interval."""
    if summary is None:
        return "-", ""
    if summary.interval is None:
        return number(summary.mean), ""
    half = summary.interval.high - summary.mean
    return rounded(summary.mean, half), f"± {rounded(half, half)}"


def bounded(cell: tuple[str, str], bound: bool) -> tuple[str, str]:
    """A cell of `mean`, marked with "≤" if its values are upper bounds."""
    text, half = cell
    return (f"≤ {text}" if bound and text != "-" else text), half


def counted(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"


def count(group: Group) -> str:
    finished, started = len(group.finished), len(group.runs)
    words = f"{finished} of {started}"
    return f"{words} (one seed)" if finished == 1 else words


def seed_cells(table: Table, group: Group) -> list[str]:
    """For each seed of the table its value, or the state of its run; empty where it was not started."""
    runs = {run.seed: run for run in group.runs}
    return [
        ("" if seed not in runs else number(runs[seed].metrics[table.main]) if runs[seed].finished else runs[seed].state)
        for seed in table.seeds
    ]
