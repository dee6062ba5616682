"""Charts as inline SVG: a row of dots for each recipe, a line for each training. Colours are classes of style.css."""

import math
from collections.abc import Iterable, Sequence
from html import escape
from typing import NamedTuple

from src.reporting.tables import Group, Table
from src.reporting.words import mean, number

WIDTH, HEIGHT = 760, 300  # HEIGHT: of line charts
MARGIN = 16
LEFT, TOP, RIGHT, BOTTOM = 52, 10, WIDTH - MARGIN, HEIGHT - 44  # the plot area of line charts
COLOURS = 7  # .c0 .. .c6 in style.css; more groups reuse them, dashed
ROW = 46  # pixels for each recipe's dots
LOGARITHMIC = 10  # an axis of positive values is logarithmic if largest / smallest exceeds this


class Axis(NamedTuple):
    """A map of values low..high to pixels start..end, linear or logarithmic."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def at(self, value: float) -> float:
        low, high, value = (math.log(v) if self.log else v for v in (self.low, self.high, max(value, self.low)))
        return round(self.start + (self.end - self.start) * (value - low) / (high - low), 1)

    def ticks(self) -> list[float]:
        if self.log:
            decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            values = [digit * 10.0**decade for decade in decades for digit in ((1, 2, 5) if len(decades) < 5 else (1,))]
        else:
            step = nice_step(self.high - self.low)
            values = [i * step for i in range(math.ceil(self.low / step), math.floor(self.high / step) + 1)]
        return [value for value in values if self.low <= value <= self.high]


def nice_step(span: float) -> float:
    """1, 2 or 5 times a power of ten, so that the span has four to nine steps."""
    power = 10.0 ** math.floor(math.log10(span / 4))
    return max(factor * power for factor in (1, 2, 5) if factor * power <= span / 4)


def axis_for(values: Sequence[float], start: float, end: float) -> Axis:
    """An axis with a margin around the values; logarithmic if all are positive and far apart."""
    low, high = min(values), max(values)
    if 0 < low < high / LOGARITHMIC:
        return Axis(low / 1.15, high * 1.15, start, end, log=True)
    air = 0.06 * (high - low) or 0.1 * abs(high) or 1.0
    return Axis(low - air, high + air, start, end)


def colour(index: int) -> str:
    return f"c{index % COLOURS}" + (" dashed" if index // COLOURS % 2 else "")


def dots(table: Table) -> str:
    """The main metric of each seed, mean and 95 % interval of each recipe, the floor as a line. Empty without finished runs."""
    rows = [(index, group) for index, group in enumerate(table.groups) if group.finished]
    if not rows:
        return ""
    values = [run.metrics[table.main] for _, group in rows for run in group.finished]
    intervals = [summary.interval for _, group in rows if (summary := group.summary(table.main)) and summary.interval]
    log = axis_for(values, 0, 1).log
    values += [end for interval in intervals for end in interval if end > 0 or not log]
    axis, bottom, parts = axis_for(values, MARGIN, RIGHT), ROW * len(rows) + 26, []
    if (floor := table.floor) is not None:
        wider = axis_for([*values, floor], MARGIN, RIGHT)
        if (floor > 0 or not axis.log) and wider.at(max(values)) - wider.at(min(values)) > (RIGHT - MARGIN) / 2:
            axis = wider
            x = axis.at(floor)
            beside = f'x="{x + 5}"' if x < WIDTH / 2 else f'x="{x - 5}" text-anchor="end"'
            parts.append(f'<line class="floor" x1="{x}" x2="{x}" y1="4" y2="{bottom}"/>')
            parts.append(f'<text class="floor" {beside} y="16">floor {number(floor)}</text>')
        else:  # an axis that includes the floor would draw the dots too close together
            beside = f'x="{MARGIN}" y="16">◂ ' if floor < min(values) else f'x="{RIGHT}" y="16" text-anchor="end">▸ '
            parts.append(f'<text class="floor" {beside}floor {number(floor)}</text>')
    parts += vertical_ticks(axis, 22, bottom)
    for row, (index, group) in enumerate(rows):
        parts += _dot_row(group, axis, 26 + ROW * row, table.main, colour(index))
    return svg(parts, bottom + 44, f"{table.main} of each seed, with mean and 95 % interval", table.main)


def _dot_row(group: Group, axis: Axis, top: int, metric: str, style: str) -> Iterable[str]:
    summary = group.summary(metric)
    assert summary is not None, "a finished run has its main metric"
    y = top + 30
    yield f'<g class="{style}"><text class="name" x="{MARGIN}" y="{top + 14}">{escape(group.label)}</text>'
    if summary.interval:
        low, high = axis.at(summary.interval.low), axis.at(summary.interval.high)
        yield f'<path class="interval" d="M{low} {y}H{high}M{low} {y - 5}v10M{high} {y - 5}v10"/>'
    middle = axis.at(summary.mean)
    words = escape(f"{group.label}: mean {' '.join(mean(summary))}")
    yield f'<path class="mean" d="M{middle} {y - 10}v20"><title>{words}</title></path>'
    for seed, value in summary.seeds.items():
        yield f'<circle class="dot" cx="{axis.at(value)}" cy="{y}" r="4.5"><title>seed {seed}: {number(value)}</title></circle>'
    yield "</g>"


def training_curves(table: Table, over: str = "samples") -> str:
    """Validation values over samples seen, or over minutes: a line for each seed, a cross where one diverged.

    Minutes are known for ended trainings only, and are spread evenly over the samples.
    """
    scales = {run.path: 1.0 if over == "samples" else run.minutes_per_sample for run in table.runs}
    lines = {
        run.path: [(seen * scales[run.path], value) for _, (seen, value) in sorted(run.curve.items()) if math.isfinite(value)]
        for run in table.runs
        if scales[run.path]
    }
    if not any(lines.values()):
        return ""
    x, y, parts = plane([point for line in lines.values() for point in line])
    for index, group in enumerate(table.groups):
        parts.append(f'<g class="{colour(index)}">')
        for run in group.runs:
            if not (line := lines.get(run.path)):
                continue
            parts.append(polyline(x, y, line, run.name))
            px, py = x.at(line[-1][0]), y.at(line[-1][1])
            if run.failed:
                parts.append(f'<path class="mean" d="M{px - 5} {py - 5}l10 10m0 -10l-10 10"/>')
            elif len(line) == 1:
                parts.append(f'<circle class="dot" cx="{px}" cy="{py}" r="3"/>')
        parts.append("</g>")
    below = "training samples seen" if over == "samples" else "minutes of training"
    return svg(parts, HEIGHT, f"validation {table.main} while training", below)


def plane(points: Sequence[tuple[float, float]], last: float = 0.0) -> tuple[Axis, Axis, list[str]]:
    """(x axis, y axis, SVG of their ticks) for these points; x runs from 0 to the largest x, or to `last` if that is larger."""
    x = Axis(0, max(last, *(at for at, _ in points)) or 1, LEFT, RIGHT)
    y = axis_for([value for _, value in points], BOTTOM, TOP)
    parts = [*vertical_ticks(x, TOP, BOTTOM)]
    for tick in y.ticks():
        parts.append(f'<path class="grid" d="M{LEFT} {y.at(tick)}H{RIGHT}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y.at(tick) + 4}" text-anchor="end">{short(tick)}</text>')
    return x, y, parts


def polyline(x: Axis, y: Axis, points: Iterable[tuple[float, float]], title: str) -> str:
    found = " ".join(f"{x.at(at)},{y.at(value)}" for at, value in points)
    return f'<polyline class="curve" points="{found}"><title>{escape(title)}</title></polyline>'


def vertical_ticks(axis: Axis, top: float, bottom: float) -> Iterable[str]:
    for tick in axis.ticks():
        yield f'<path class="grid" d="M{axis.at(tick)} {top}V{bottom}"/>'
        yield f'<text x="{axis.at(tick)}" y="{bottom + 16}" text-anchor="middle">{short(tick)}</text>'


def short(value: float) -> str:
    """A tick's number: 0.05, 12, 250k, 1.5M."""
    if abs(value) >= 1e6:
        return f"{value / 1e6:g}M"
    return f"{value / 1e3:g}k" if abs(value) >= 1e4 else f"{round(value, 10):g}"


def svg(parts: Iterable[str], height: int, title: str, below: str) -> str:
    caption = f'<text class="axis" x="{WIDTH / 2:g}" y="{height - 6}" text-anchor="middle">{escape(below)}</text>'
    return (
        f'<div class="scroll"><svg class="chart" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}">'
        f"{''.join(parts)}{caption}</svg></div>"
    )
