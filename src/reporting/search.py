"""The page of a sweep: what it cost, what mattered, and whether its winner holds on seeds that the search never saw."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from src.reporting.charts import HEIGHT, MARGIN, WIDTH, Axis, axis_for, short, svg, vertical_ticks
from src.reporting.page import STATISTICS, cells_of, document, figure, grid, section
from src.reporting.provenance import cost, duration
from src.reporting.tables import Table
from src.reporting.words import number

LEFT = 52  # pixels for the numbers of a vertical axis
BAR = 24  # pixels for each bar
STATES = {"complete": "c0", "stopped early": "c6"}  # -> colour of style.css

NOTES = """A trial's score is the smallest distance of its training to the validation split, on one training seed: the best of
many is in part a lucky one, which is why the winner is trained again on seeds that the search never saw, beside the base recipe
on the same seeds, and measured on the test split. Importance is PED-ANOVA's (Watanabe et al. 2023): the share of a setting in
what sets the best tenth of the complete trials apart, uncertain where these are few."""


@dataclass(frozen=True)
class Trial:
    """One trial of a sweep."""

    number: int
    state: str  # complete, stopped early, failed, running, waiting
    value: float | None  # its validation distance; the last one of a trial that was stopped early
    point: dict[str, str]  # key -> value, as the command line takes them
    curve: dict[int, float]  # per cent of the budget of images (images where there is no such budget) -> validation distance
    images: int  # that training showed
    seconds: float
    reason: str  # of a failure


def sweep_page(
    name: str,
    trials: Sequence[Trial],
    best: Trial | None,
    importances: Mapping[str, float],
    base: Mapping[str, str],
    tables: Sequence[Table],
    commands: Mapping[str, str],
) -> str:
    """One self-contained page.

    best: the winner; None where no trial is complete. base: key -> the base recipe's value. tables: of the runs on fresh seeds.
    commands: what each is for -> the command.
    """
    sections = [_score(trials), _importance(importances, trials), *_winner(best, base, tables), _listing(trials)]
    listed = "".join(f"<p>{escape(purpose)}</p><pre>{escape(command)}</pre>" for purpose, command in commands.items())
    sections.append(f"<section><h2>How it was made</h2>{cost(list(tables)) if tables else ''}{listed}</section>")
    title = f"{name}: {len(trials)} trial{'' if len(trials) == 1 else 's'}"
    return document(title, _lead(trials, best), sections, f"{NOTES}</p><p>{STATISTICS}")


def _lead(trials: Sequence[Trial], best: Trial | None) -> str:
    states = [trial.state for trial in trials]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(sorted(states)))
    spent = f"{short(sum(trial.images for trial in trials))} training images in {duration(sum(t.seconds for t in trials))}"
    words = f"{counts}; {spent} of all trials together."
    if best is not None and best.value is not None:
        words += f" The best validation distance is {number(best.value)}, of trial {best.number}."
    return f'<p class="lead">{escape(words)}</p>'


def _score(trials: Sequence[Trial]) -> str:
    caption = (
        "Distance of each trial by what all up to it had cost; a line for the best so far, crosses for trials stopped early"
    )
    charts = (
        figure(score_chart(trials), caption),
        figure(score_chart(trials, over="minutes"), "The same by the time that they had taken"),
        figure(curve_chart(trials), "Distance of each trial while it trained"),
    )
    return f"<section><h2>Score against budget</h2>{''.join(charts)}</section>"


def score_chart(trials: Sequence[Trial], over: str = "images") -> str:
    """Validation distance over images shown, or over minutes, all trials together in the order of their numbers.

    Empty without scores.
    """
    total, points = 0.0, []
    for trial in trials:
        total += trial.images if over == "images" else trial.seconds / 60
        if trial.value is not None and trial.value > 0 and trial.state in STATES:
            points.append((trial, total, trial.value))
    if not points:
        return ""
    bottom = HEIGHT - 44
    x = Axis(0, total or 1, LEFT, WIDTH - MARGIN)
    y = axis_for([value for *_, value in points], bottom, 10, log=True)
    parts = [*vertical_ticks(x, 10, bottom), *_horizontal_ticks(y)]
    best = float("inf")
    line: list[str] = []
    for trial, spent, value in points:
        if trial.state == "complete" and value < best:
            best = value
            line += ([f"H{x.at(spent)}"] if line else [f"M{x.at(spent)} {y.at(value)}"]) + [f"V{y.at(value)}"]
    if line:
        parts.append(f'<g class="c0"><path class="curve" d="{"".join(line)}H{WIDTH - MARGIN}"/></g>')
    for trial, spent, value in points:
        px, py, words = x.at(spent), y.at(value), f"<title>trial {trial.number}: {number(value)}</title>"
        mark = f'<circle class="dot" cx="{px}" cy="{py}" r="4.5">{words}</circle>'
        if trial.state != "complete":
            mark = f'<path class="mean" d="M{px - 3} {py - 3}l6 6m0 -6l-6 6">{words}</path>'
        parts.append(f'<g class="{STATES[trial.state]}">{mark}</g>')
    unit = "training images" if over == "images" else "minutes"
    return svg(parts, HEIGHT, "validation distance over what the sweep had cost", f"{unit}, all trials together")


def curve_chart(trials: Sequence[Trial]) -> str:
    """Validation distance over each trial's own budget. Empty without any."""
    shown = [trial for trial in trials if trial.curve and trial.state in STATES]
    values = [value for trial in shown for value in trial.curve.values() if value > 0]
    if not values:
        return ""
    bottom, last = HEIGHT - 44, max(step for trial in shown for step in trial.curve)
    x, y = Axis(0, last or 1, LEFT, WIDTH - MARGIN), axis_for(values, bottom, 10, log=True)
    parts = [*vertical_ticks(x, 10, bottom), *_horizontal_ticks(y)]
    for trial in sorted(shown, key=lambda trial: trial.state, reverse=True):  # complete ones on top
        line = [(x.at(step), y.at(value)) for step, value in sorted(trial.curve.items()) if value > 0]
        steps = " ".join(f"{px},{py}" for px, py in line)
        mark = f'<circle class="dot" cx="{line[-1][0]}" cy="{line[-1][1]}" r="2.5"/>' if line else ""
        words = f"<title>trial {trial.number}, {trial.state}</title>"
        parts.append(f'<g class="{STATES[trial.state]}"><polyline class="curve" points="{steps}">{words}</polyline>{mark}</g>')
    below = "per cent of a trial's budget of images" if last <= 100 else "training images of a trial"
    return svg(parts, HEIGHT, "validation distance of each trial while it trained", below)


def _horizontal_ticks(y: Axis) -> list[str]:
    parts = []
    for tick in y.ticks():
        parts.append(f'<path class="grid" d="M{LEFT} {y.at(tick)}H{WIDTH - MARGIN}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y.at(tick) + 4}" text-anchor="end">{short(tick)}</text>')
    return parts


def _importance(importances: Mapping[str, float], trials: Sequence[Trial]) -> str:
    complete = sum(trial.state == "complete" for trial in trials)
    if not importances:
        return f"<section><h2>What mattered</h2><p>{complete} complete trials are too few to tell.</p></section>"
    chart = figure(importance_chart(importances), f"Importance of each setting, from {complete} complete trials")
    return f"<section><h2>What mattered</h2>{chart}</section>"


def importance_chart(importances: Mapping[str, float]) -> str:
    """A bar for each setting, the longest first."""
    start, end = 300, WIDTH - 60
    x = Axis(0, max(importances.values()) or 1, start, end)
    parts = []
    for row, (key, value) in enumerate(sorted(importances.items(), key=lambda item: -item[1])):
        top = 10 + BAR * row
        parts.append(f'<text x="{start - 8}" y="{top + 13}" text-anchor="end">{escape(key)}</text>')
        parts.append(f'<rect class="bar c0" x="{start}" y="{top}" width="{x.at(value) - start:g}" height="{BAR - 8}"/>')
        parts.append(f'<text x="{x.at(value) + 6}" y="{top + 13}">{value:.2f}</text>')
    return svg(parts, 10 + BAR * len(importances) + 26, "importance of each setting", "share")


def _winner(best: Trial | None, base: Mapping[str, str], tables: Sequence[Table]) -> list[str]:
    if best is None:
        return []
    rows = [
        f'<tr><th scope="row">{escape(key)}</th>{cells_of((base.get(key, ""), value))}</tr>'
        for key, value in best.point.items()
    ]
    listing = grid('<th scope="col">setting</th><th scope="col">base</th><th scope="col">winner</th>', rows)
    confirmed = "" if tables else "<p>Not yet trained on fresh seeds: do not believe its score.</p>"
    first = f"<section><h2>The winner: trial {best.number}</h2>{listing}{confirmed}</section>"
    return [first, *(section(table, list(tables), films=False) for table in tables)]


def _listing(trials: Sequence[Trial]) -> str:
    keys = list(dict.fromkeys(key for trial in trials for key in trial.point))
    heads = "".join(
        f'<th scope="col">{escape(head)}</th>' for head in ("trial", "state", "distance", "images", "seconds", *keys)
    )
    rows = []
    for trial in sorted(trials, key=lambda t: (t.state != "complete", t.value is None, t.value or 0.0, t.number)):
        state = trial.state + (f": {trial.reason}" if trial.reason else "")
        score = "" if trial.value is None else number(trial.value)
        cells = [state, score, f"{trial.images:,}", f"{trial.seconds:,.0f}", *(trial.point.get(key, "") for key in keys)]
        rows.append(f'<tr><th scope="row">{trial.number}</th>{cells_of(cells)}</tr>')
    return f"<section><h2>Trials</h2><details><summary>all of them</summary>{grid(heads, rows)}</details></section>"
