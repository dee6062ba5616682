"""Charts by matplotlib: inline SVG in the colours of the page, or files for papers."""

import io
import math
import re
import warnings
from collections.abc import Sequence
from html import escape
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from src.reporting.tables import Group, Table
from src.reporting.words import number

WIDTH = 5.2  # inches: as wide as a phone, so that its text need not shrink there
INK, SOFT, LINE, GROUND = "#1c1c1e", "#5f6368", "#dcdfe3", "#ffffff"
COLOURS = "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#6b6b6b"  # Okabe and Ito's; reused dashed
PAGE = {INK: "var(--ink)", SOFT: "var(--soft)", LINE: "var(--line)", GROUND: "var(--ground)"} | {
    c: f"var(--c{n})" for n, c in enumerate(COLOURS)
}
LOGARITHMIC = 10  # an axis of positive values is logarithmic if largest / smallest exceeds this
STYLE: Any = {
    **dict.fromkeys(("axes.edgecolor", "grid.color", "xtick.color", "ytick.color"), LINE),
    **dict.fromkeys(("axes.labelcolor", "xtick.labelcolor", "ytick.labelcolor"), SOFT),
    **dict.fromkeys(("axes.facecolor", "figure.facecolor"), "none"),
    **dict.fromkeys(("axes.spines.top", "axes.spines.right", "legend.frameon"), False),
    **dict.fromkeys(("axes.grid", "axes.axisbelow"), True),
    "text.color": INK,
    "font.size": 9,
    "lines.linewidth": 1.2,
    "svg.fonttype": "none",
    "svg.hashsalt": "aigc-lab",  # the same bytes each time
    "pdf.fonttype": 42,  # TrueType, which journals ask for
    "text.parse_math": False,  # a label may hold a $
}


@rc_context(STYLE)
def dots(table: Table) -> Figure | None:
    """The main metric of each seed, mean and 95 % interval of each recipe, the floor as a line. None of a single run."""
    rows = [(index, group) for index, group in enumerate(table.groups) if group.finished]
    if sum(len(group.finished) for _, group in rows) < 2:
        return None
    figure, axes = plot(0.42 * len(rows) + 0.7, table.main)
    values = [run.metrics[table.main] for _, group in rows for run in group.finished]
    log = scale(axes, "x", values)
    if (floor := table.floor) is not None and (floor > 0 or not log):
        low, high, least, most = (math.log(v) if log else v for v in (min(values), max(values), *_hull(values, floor)))
        if high - low > (most - least) / 3:
            axes.axvline(floor, color=INK, linestyle=":")
            axes.annotate(f"floor {number(floor)}", (floor, -0.9), (3, -8), textcoords="offset points", fontsize=8)
        else:  # an axis that includes the floor would draw the dots too close together
            axes.set_xlabel(f"{table.main} (floor {number(floor)})")
    for place, (index, group) in enumerate(rows):
        _dot_row(axes, group, place, table.main, COLOURS[index % len(COLOURS)], min(values) / 2 if log else -math.inf)
    axes.set(ylim=(len(rows) - 0.5, -0.9), yticks=[])
    axes.spines["left"].set_visible(False)
    return figure


def _dot_row(axes: Axes, group: Group, place: int, metric: str, colour: str, least: float) -> None:
    summary = group.summary(metric)
    assert summary is not None, "a finished run has its main metric"
    if summary.interval:
        axes.plot([max(end, least) for end in summary.interval], [place, place], color=colour, linewidth=2)
    axes.plot([summary.mean], [place], "|", color=colour, markersize=14, markeredgewidth=2)
    axes.plot([*summary.seeds.values()], [place] * len(summary.seeds), "o", color=colour, markersize=5, alpha=0.55)
    style: Any = {"fontsize": 8, "fontweight": "bold", "bbox": {"facecolor": GROUND, "edgecolor": "none", "pad": 1}}
    axes.annotate(group.label, (0, place), (0, 9), xycoords=("axes fraction", "data"), textcoords="offset points", **style)


def _hull(values: list[float], value: float) -> tuple[float, float]:
    return min(*values, value), max(*values, value)


@rc_context(STYLE)
def training_curves(table: Table) -> Figure | None:
    """Validation values over samples seen: a line for each seed, a cross where one diverged. None without values."""
    figure, axes = plot(2.6, "training samples seen", f"validation {table.main}")
    drawn, values = {}, []
    for index, group in enumerate(table.groups):
        for run in group.runs:
            if line := [(seen, value) for _, (seen, value) in sorted(run.curve.items()) if math.isfinite(value)]:
                values += [value for _, value in line]
                (drawn[group.label],) = axes.plot(*zip(*line, strict=True), **look(index), marker="." if len(line) == 1 else "")
                if run.failed:
                    axes.plot(*line[-1], "x", color=look(index)["color"], markersize=8, markeredgewidth=2)
    if not values:
        return None
    scale(axes, "x")
    scale(axes, "y", values)
    figure.legend([*drawn.values()], [*drawn], loc="outside lower left", ncols=2, fontsize=8)
    figure.set_figheight(2.6 + 0.17 * math.ceil(len(drawn) / 2))
    return figure


@rc_context(STYLE)
def position_curves(table: Table) -> Figure | None:
    """Nats of each position of unseen sequences, means over seeds, with the 4-gram model as a control. None without them."""
    key, lines = "nats_by_position", list[tuple[str, list[list[float]], dict[str, Any]]]()
    for index, group in enumerate(table.groups):
        found = [run.record["metrics"][key] for run in group.finished if key in run.record["metrics"]]
        if found:
            lines.append((group.label, found, look(index)))
    if not lines:
        return None
    run = next(run for group in table.groups for run in group.finished if key in run.record["metrics"])
    if (baseline := run.record["controls"].get("ngram_4", {})).get(key):
        lines.append((run.record["control_names"]["ngram_4"], [baseline[key]], {"color": SOFT, "linestyle": ":"}))
    figure, axes = plot(2.6, "position", "nats")
    for label, seeds, style in lines:
        length = min(map(len, seeds))
        values = [sum(seed[place] for seed in seeds) / len(seeds) for place in range(length)]
        axes.plot(range(1, length + 1), values, label=label, **style)
    scale(axes, "x")
    scale(axes, "y")
    figure.legend(loc="outside lower left", ncols=2, fontsize=8)
    figure.set_figheight(2.6 + 0.17 * math.ceil(len(lines) / 2))
    return figure


def look(index: int) -> dict[str, Any]:
    """Colour and dashes of a recipe, by its place in the table."""
    return {"color": COLOURS[index % len(COLOURS)], "linestyle": "--" if index // len(COLOURS) % 2 else "-", "alpha": 0.8}


@rc_context(STYLE)
def plot(height: float, below: str, beside: str = "") -> tuple[Figure, Axes]:
    """An empty plot of `height` inches with the names of its axes."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    return figure, figure.add_subplot(xlabel=below, ylabel=beside)


def scale(axes: Axes, which: str, values: Sequence[float] = ()) -> bool:
    """Plain numbers on the x or y axis; it is logarithmic if `values` are positive and far apart, which is returned."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    if log := bool(values) and 0 < min(values) < max(values) / LOGARITHMIC:
        axes.set(**{f"{which}scale": "log"})
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if max(values) < 1e3 * min(values) else (1,)))
        axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
    return log


def short(value: float) -> str:
    """A tick's number: 0.05, 12, 250k, 1.5M."""
    if abs(value) >= 1e6:
        return f"{value / 1e6:g}M"
    return f"{value / 1e3:g}k" if abs(value) >= 1e4 else f"{round(value, 10):g}"


def inline(figure: Figure | None, title: str) -> str:
    """SVG for a page, in its colours and without the ids that nothing refers to; empty without a figure."""
    if figure is None:
        return ""
    text = file(figure, "svg").decode()
    box = text.split('viewBox="')[1].split('"')[0]
    text = text[text.index('<g id="figure_1">') :]
    text = re.sub(r' id="[\w.]+_\d+"', "", text)
    text = re.sub(r'"[^"<>]*"', lambda value: re.sub(r"(\.\d\d)\d+", r"\1", value[0]), text)  # attributes alone
    for colour, variable in PAGE.items():
        text = text.replace(colour, variable)
    return f'<svg class="chart" viewBox="{box}" role="img" aria-label="{escape(title)}">{text}'


@rc_context(STYLE)
def file(figure: Figure, kind: str) -> bytes:
    """The bytes of a "pdf" or "svg" file, each time the same."""
    buffer = io.BytesIO()
    with warnings.catch_warnings(action="ignore"):  # a label with signs that matplotlib's own font lacks
        figure.savefig(buffer, format=kind, metadata={"svg": {"Date": None}, "pdf": {"CreationDate": None}}[kind])
    return buffer.getvalue()
