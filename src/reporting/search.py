"""The page of a sweep: its cost, the importance of its settings, and its winner's results on fresh seeds."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from src.reporting.charts import HEIGHT, RIGHT, plane, polyline, short, svg
from src.reporting.markup import document, figure, folded, grid, row, texts
from src.reporting.page import STATISTICS, section
from src.reporting.provenance import cost, duration
from src.reporting.tables import Table, beats
from src.reporting.words import counted, number

STATES = {"complete": "c0", "stopped early": "c6"}  # -> colour of style.css

NOTES = """A trial's score is its best value on the validation split, on one training seed: the best of many trials is in part
a lucky one, which is why the winner is trained again on seeds that the search never saw, beside the base recipe on the same
seeds, and measured on the test split. Importance is PED-ANOVA's (Watanabe et al. 2023): the share of a setting in
what sets the best tenth of the complete trials apart, uncertain where these are few."""


@dataclass(frozen=True)
class Trial:
    """One trial of a sweep."""

    number: int
    state: str  # complete, stopped early, failed, running, waiting
    value: float | None  # its score; the last value of a trial that was stopped early
    point: dict[str, str]  # key -> value, as the command line takes them
    curve: dict[int, float]  # per cent of the budget of samples (samples where there is no such budget) -> score
    samples: int  # shown in training
    seconds: float
    reason: str  # why it failed, or ""


def sweep_page(
    name: str,
    trials: Sequence[Trial],
    best: Trial | None,
    importances: Mapping[str, float],
    base: Mapping[str, str],
    tables: Sequence[Table],
    commands: Mapping[str, str],
    better: str = "lower",
) -> str:
    """One self-contained page.

    best: the winner; None if no trial is complete. base: key -> the base recipe's value. tables: of the runs on fresh seeds.
    commands: purpose -> command. better: "lower" or "higher", the better direction of scores.
    """
    sections = [_score(trials, better), _importance(importances, trials), *_winner(best, base, tables), _trials(trials, better)]
    listed = "".join(f"<p>{escape(purpose)}</p><pre>{escape(command)}</pre>" for purpose, command in commands.items())
    sections.append(f"<section><h2>How it was made</h2>{cost(list(tables)) if tables else ''}{listed}</section>")
    return document(f"{name}: {counted(len(trials), 'trial')}", _lead(trials, best), sections, f"{NOTES}</p><p>{STATISTICS}")


def _lead(trials: Sequence[Trial], best: Trial | None) -> str:
    states = [trial.state for trial in trials]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(sorted(states)))
    spent = f"{short(sum(trial.samples for trial in trials))} training samples in {duration(sum(t.seconds for t in trials))}"
    words = f"{counts}; {spent} of all trials together."
    if best is not None and best.value is not None:
        words += f" The best validation score is {number(best.value)}, of trial {best.number}."
    return words


def _score(trials: Sequence[Trial], better: str) -> str:
    caption = "Score of each trial by the cost of all up to it; a line for the best so far, crosses for trials stopped early"
    charts = (
        figure(score_chart(trials, better), caption),
        figure(score_chart(trials, better, over="minutes"), "The same by the minutes that they had taken"),
        figure(curve_chart(trials), "Validation score of each trial while it trained"),
    )
    return f"<section><h2>Score against budget</h2>{''.join(charts)}</section>"


def score_chart(trials: Sequence[Trial], better: str = "lower", over: str = "samples") -> str:
    """Score of each trial over the samples, or minutes, of all trials up to it. Empty without scores."""
    total, points = 0.0, []
    for trial in trials:
        total += trial.samples if over == "samples" else trial.seconds / 60
        if trial.value is not None and math.isfinite(trial.value) and trial.state in STATES:
            points.append((trial, total, trial.value))
    if not points:
        return ""
    x, y, parts = plane([(spent, value) for _, spent, value in points], last=total)
    best: float | None = None
    line = ""
    for trial, spent, value in points:
        if trial.state == "complete" and (best is None or beats(value, best, better)):
            best = value
            line += (f"H{x.at(spent)}" if line else f"M{x.at(spent)} {y.at(value)}") + f"V{y.at(value)}"
    if line:
        parts.append(f'<g class="c0"><path class="curve" d="{line}H{RIGHT}"/></g>')
    for trial, spent, value in points:
        px, py, words = x.at(spent), y.at(value), f"<title>trial {trial.number}: {number(value)}</title>"
        mark = f'<circle class="dot" cx="{px}" cy="{py}" r="4.5">{words}</circle>'
        if trial.state != "complete":
            mark = f'<path class="mean" d="M{px - 3} {py - 3}l6 6m0 -6l-6 6">{words}</path>'
        parts.append(f'<g class="{STATES[trial.state]}">{mark}</g>')
    unit = "training samples" if over == "samples" else "minutes"
    return svg(parts, HEIGHT, "validation score over the cost of the sweep", f"{unit}, all trials together")


def curve_chart(trials: Sequence[Trial]) -> str:
    """Validation score over each trial's own budget. Empty without any."""
    lines = [
        (trial, [(step, value) for step, value in sorted(trial.curve.items()) if math.isfinite(value)])
        for trial in sorted(trials, key=lambda trial: trial.state, reverse=True)  # complete ones on top
        if trial.state in STATES
    ]
    points = [point for _, line in lines for point in line]
    if not points:
        return ""
    x, y, parts = plane(points)
    for trial, line in lines:
        if line:
            mark = f'<circle class="dot" cx="{x.at(line[-1][0])}" cy="{y.at(line[-1][1])}" r="2.5"/>'
            curve = polyline(x, y, line, f"trial {trial.number}, {trial.state}")
            parts.append(f'<g class="{STATES[trial.state]}">{curve}{mark}</g>')
    below = "per cent of a trial's budget of samples" if x.high <= 100 else "training samples of a trial"
    return svg(parts, HEIGHT, "validation score of each trial while it trained", below)


def _importance(importances: Mapping[str, float], trials: Sequence[Trial]) -> str:
    complete = sum(trial.state == "complete" for trial in trials)
    if not importances:
        return f"<section><h2>What mattered</h2><p>{complete} complete trials are too few to tell.</p></section>"
    rows = [row(escape(key), [f"{value:.2f}"]) for key, value in sorted(importances.items(), key=lambda item: -item[1])]
    table = grid(["setting", f"importance, from {complete} complete trials"], rows)
    return f"<section><h2>What mattered</h2>{table}</section>"


def _winner(best: Trial | None, base: Mapping[str, str], tables: Sequence[Table]) -> list[str]:
    if best is None:
        return []
    rows = [row(escape(key), texts((base.get(key, ""), value))) for key, value in best.point.items()]
    confirmed = "" if tables else "<p>Not yet trained on fresh seeds: do not believe its score.</p>"
    settings = grid(["setting", "base", "winner"], rows)
    first = f"<section><h2>The winner: trial {best.number}</h2>{settings}{confirmed}</section>"
    return [first, *(section(table, list(tables), films=False) for table in tables)]


def _trials(trials: Sequence[Trial], better: str) -> str:
    """All trials: complete ones first, the best first."""
    keys = list(dict.fromkeys(key for trial in trials for key in trial.point))
    sign = -1 if better == "higher" else 1
    rows = []
    for trial in sorted(trials, key=lambda t: (t.state != "complete", t.value is None, sign * (t.value or 0.0), t.number)):
        state = trial.state + (f": {trial.reason}" if trial.reason else "")
        score = "" if trial.value is None else number(trial.value)
        cells = [state, score, f"{trial.samples:,}", f"{trial.seconds:,.0f}", *(trial.point.get(key, "") for key in keys)]
        rows.append(row(str(trial.number), texts(cells)))
    table = grid(texts(["trial", "state", "score", "samples", "seconds", *keys]), rows)
    return f"<section><h2>Trials</h2>{folded('all of them', table)}</section>"
