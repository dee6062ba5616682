"""Charts as inline SVG: a row of dots for each recipe, a line for each training. Colours are classes of style.css."""

import math
from collections.abc import Iterable, Sequence
from html import escape
from typing import NamedTuple

from src.reporting.tables import Group, Table
from src.reporting.words import mean, number

WIDTH = 760
MARGIN = 16
COLOURS = 7  # .c0 .. .c6 in style.css; further groups take them again, dashed
ROW = 46  # pixels for each recipe's dots
LOGARITHMIC = 10  # an axis that spans more than this is logarithmic
HEIGHT = 300  # of the curves
GAP = 20  # pixels between two ticks at least


class Axis(NamedTuple):
    """Values to pixels, linear or logarithmic."""

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
            digits = (1, 2, 5) if len(decades) < 5 else (1,)
            values = [digit * 10.0**decade for decade in decades for digit in digits]
            values = [value for value in values if self.low <= value <= self.high]
            if len(values) > 2:
                return values
        step = nice_step(self.high - self.low)
        kept: list[float] = []
        for value in (i * step for i in range(math.ceil(self.low / step), math.floor(self.high / step) + 1)):
            if self.low <= value <= self.high and not (kept and abs(self.at(value) - self.at(kept[-1])) < GAP):
                kept.append(value)
        return kept


def nice_step(span: float) -> float:
    """1, 2 or 5 times a power of ten: four to nine steps of it make the span."""
    power = 10.0 ** math.floor(math.log10(span / 4))
    return max(factor * power for factor in (1, 2, 5) if factor * power <= span / 4)


def axis_for(values: Sequence[float], start: float, end: float, log: bool = False) -> Axis:
    """An axis with some air around the values, which must be positive for a logarithmic one."""
    low, high = min(values), max(values)
    if log:
        return Axis(low / 1.15, high * 1.15, start, end, log)
    air = 0.06 * (high - low) or 0.1 * abs(high) or 1.0
    return Axis(low - air, high + air, start, end)


def colour(index: int) -> str:
    return f"c{index % COLOURS}" + (" dashed" if index // COLOURS % 2 else "")


def swatch(index: int) -> str:
    return f'<svg class="swatch {colour(index)}" viewBox="0 0 12 12" aria-hidden="true"><circle cx="6" cy="6" r="5"/></svg>'


def dots(table: Table) -> str:
    """Each seed's main metric, with mean and 95 % interval of each recipe; the floor as a line. Empty without runs."""
    rows = [(index, group) for index, group in enumerate(table.groups) if group.finished]
    if not rows:
        return ""
    floor = table.anchors["real"][table.main]
    values = [run.metrics[table.main] for _, group in rows for run in group.finished]
    log = min(values) > 0 and max(values) > LOGARITHMIC * min(values)
    intervals = [summary.interval for _, group in rows if (summary := group.summary(table.main)) and summary.interval]
    values += [end for interval in intervals for end in interval if end > 0 or not log]
    start, end, bottom = MARGIN, WIDTH - MARGIN, ROW * len(rows) + 26
    axis = axis_for([*values, floor] if floor > 0 or not log else values, start, end, log)
    if axis.low <= floor and axis.at(max(values)) - axis.at(min(values)) > (end - start) / 2:
        x = axis.at(floor)
        beside = f'x="{x + 5}"' if x < WIDTH / 2 else f'x="{x - 5}" text-anchor="end"'
        parts = [f'<line class="floor" x1="{x}" x2="{x}" y1="4" y2="{bottom}"/>']
        parts.append(f'<text class="floor" {beside} y="16">floor {number(floor)}</text>')
    else:  # on the axis the floor would press the dots together
        axis = axis_for(values, start, end, log)
        parts = [f'<text class="floor" x="{start}" y="16">◂ floor {number(floor)}</text>']
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


def training_curves(table: Table, over: str = "images") -> str:
    """The validation distance over images seen, or over minutes, a thin line for each seed; a cross where a training diverged.

    Minutes are known of a training that has ended, and spread evenly over its images.
    """
    per_image = {run.path: 1.0 if over == "images" else run.minutes_per_image for run in table.runs}
    known = [run for run in table.runs if per_image[run.path]]
    points = [(images * per_image[run.path], distance) for run in known for images, distance in run.curve.values()]
    distances = [distance for _, distance in points if distance > 0]
    if not distances:
        return ""
    left, top, bottom = 52, 10, HEIGHT - 44
    x = Axis(0, max(spent for spent, _ in points) or 1, left, WIDTH - MARGIN)
    y = Axis(min(distances) / 1.1, max(distances) * 1.1, bottom, top, log=True)
    parts = [*vertical_ticks(x, top, bottom)]
    for tick in y.ticks():
        parts.append(f'<path class="grid" d="M{left} {y.at(tick)}H{WIDTH - MARGIN}"/>')
        parts.append(f'<text x="{left - 6}" y="{y.at(tick) + 4}" text-anchor="end">{tick:g}</text>')
    for index, group in enumerate(table.groups):
        parts.append(f'<g class="{colour(index)}">')
        for run in (run for run in group.runs if per_image[run.path]):
            scale, curve = per_image[run.path], sorted(run.curve.items())
            line = [(x.at(images * scale), y.at(distance)) for _, (images, distance) in curve if distance > 0]
            if not line:
                continue
            steps = " ".join(f"{px},{py}" for px, py in line)
            parts.append(f'<polyline class="curve" points="{steps}"><title>{escape(run.name)}</title></polyline>')
            px, py = line[-1]
            if run.failed:
                parts.append(f'<path class="mean" d="M{px - 5} {py - 5}l10 10m0 -10l-10 10"/>')
            elif len(line) == 1:
                parts.append(f'<circle class="dot" cx="{px}" cy="{py}" r="3"/>')
        parts.append("</g>")
    title = f"validation distance ({table.main}) while training"
    return svg(parts, HEIGHT, title, "training images seen" if over == "images" else "minutes of training")


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
