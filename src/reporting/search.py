"""The page of a sweep: its cost, the importance of its settings, and its winner's results on fresh seeds."""

import math
from collections.abc import Mapping, Sequence
from html import escape
from itertools import accumulate

from matplotlib import rc_context
from matplotlib.figure import Figure
from optuna.study import Study
from optuna.trial import TrialState

from src.reporting import charts
from src.reporting.markup import document, figure, folded, grid, row, texts
from src.reporting.page import STATISTICS, findings, section
from src.reporting.provenance import cost, duration
from src.reporting.tables import Table
from src.reporting.words import counted, number
from src.search.study import STATES, importances, numbered_trials, sign, winner

COLOURS = {TrialState.COMPLETE: charts.COLOURS[0], TrialState.PRUNED: charts.COLOURS[6]}  # others are not drawn

NOTES = """A trial's score is its best value on the validation split, on one training seed: the best of many trials is in part
a lucky one, which is why the winner is trained again on seeds that the search never saw, beside the base recipe on the same
seeds, and measured on the test split. Importance is PED-ANOVA's (Watanabe et al. 2023): the share of a setting in
what sets the best tenth of the complete trials apart, uncertain where these are few."""


def sweep_page(
    study: Study,
    keys: Sequence[str],
    base: Mapping[str, str],
    tables: Sequence[Table],
    commands: Mapping[str, str],
) -> str:
    """One self-contained page.

    keys: of the search space. base: key -> the base recipe's value. tables: of the runs on fresh seeds. commands: purpose ->
    command.
    """
    caption = "Score of each trial by the cost of all up to it; a line for the best so far, crosses for trials stopped early"
    plots = figure(charts.inline(score_chart(study), "validation score over the cost of the sweep"), caption)
    plots += figure(charts.inline(curve_chart(study), "validation scores"), "Validation score of each trial while it trained")
    listed = "".join(f"<p>{escape(purpose)}</p><pre>{escape(command)}</pre>" for purpose, command in commands.items())
    sections = [
        f'<section><h2>Score against budget</h2><div class="plots">{plots}</div></section>',
        f"<section><h2>What mattered</h2>{_importance(study)}</section>",
        *_winner(study, keys, base, tables),
        f"<section><h2>Trials</h2>{folded('all of them', _trials(study, keys))}</section>",
        f"<section><h2>How it was made</h2>{cost(list(tables)) if tables else ''}{listed}</section>",
    ]
    title = f"{study.study_name}: {counted(len(numbered_trials(study)), 'trial')}"
    lead = f'<p class="lead">{escape(_lead(study))}</p>{findings(list(tables))}'
    return document(title, lead, sections, f"{NOTES}</p><p>{STATISTICS}")


def _lead(study: Study) -> str:
    trials = numbered_trials(study).values()
    states = sorted(STATES[trial.state] for trial in trials)
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    samples, seconds = (sum(trial.user_attrs.get(key, 0) for trial in trials) for key in ("samples", "seconds"))
    words = f"{counts}; {charts.short(samples)} training samples in {duration(seconds)} of all trials together."
    if best := winner(study):
        words += f" The best validation score is {number(best[1].value or 0)}, of trial {best[0]}."
    return words


@rc_context(charts.STYLE)
def score_chart(study: Study) -> Figure | None:
    """Score of each trial over the training samples of all trials up to it. None without scores."""
    spent, scores = 0, []
    for trial in numbered_trials(study).values():
        spent += trial.user_attrs.get("samples", 0)
        if trial.state in COLOURS and trial.value is not None and math.isfinite(trial.value):
            scores.append((spent, trial.value, trial.state))
    if not scores:
        return None
    figure, axes = charts.plot(2.6, "training samples, all trials together", "validation score")
    pruned = [(at, value) for at, value, state in scores if state == TrialState.PRUNED]
    complete = [(at, value) for at, value, state in scores if state == TrialState.COMPLETE]
    axes.plot(*_columns(pruned), "x", color=COLOURS[TrialState.PRUNED], markersize=5)
    axes.plot(*_columns(complete), "o", color=COLOURS[TrialState.COMPLETE], markersize=5, alpha=0.7)
    best = list(accumulate((value for _, value in complete), min if sign(study) > 0 else max))
    if best:
        steps = [*((at, value) for (at, _), value in zip(complete, best, strict=True)), (spent, best[-1])]
        axes.plot(*_columns(steps), color=COLOURS[TrialState.COMPLETE], drawstyle="steps-post")
    charts.scale(axes, "x")
    charts.scale(axes, "y", [value for _, value, _ in scores])
    return figure


@rc_context(charts.STYLE)
def curve_chart(study: Study) -> Figure | None:
    """Validation score over each trial's own budget. None without any."""
    lines = []
    for trial in numbered_trials(study).values():
        points = [(step, value) for step, value in sorted(trial.intermediate_values.items()) if math.isfinite(value)]
        if points and trial.state in COLOURS:
            lines.append((trial.state, points))
    if not lines:
        return None
    last = max(points[-1][0] for _, points in lines)
    below = "per cent of a trial's budget of samples" if last <= 100 else "training samples of a trial"
    figure, axes = charts.plot(2.6, below, "validation score")
    for state, points in sorted(lines, key=lambda line: line[0] == TrialState.COMPLETE):  # complete ones on top
        axes.plot(*_columns(points), color=COLOURS[state], alpha=0.8, marker="o", markevery=[-1], markersize=3)
    charts.scale(axes, "x")
    charts.scale(axes, "y", [value for _, points in lines for _, value in points])
    return figure


def _columns(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [at for at, _ in points], [value for _, value in points]


def _importance(study: Study) -> str:
    complete = sum(trial.state == TrialState.COMPLETE for trial in study.get_trials(deepcopy=False))
    found = importances(study)
    if not found:
        return f"<p>{complete} complete trials are too few to tell.</p>"
    rows = [row(escape(key), [f"{value:.2f}"]) for key, value in found.items()]
    return grid(["setting", f"importance, from {complete} complete trials"], rows)


def _winner(study: Study, keys: Sequence[str], base: Mapping[str, str], tables: Sequence[Table]) -> list[str]:
    best = winner(study)
    if best is None:
        return []
    rows = [row(escape(key), texts((base.get(key, "-"), best[1].params[key]))) for key in keys]
    confirmed = "" if tables else "<p>Not yet trained on fresh seeds: do not believe its score.</p>"
    first = f"<section><h2>The winner: trial {best[0]}</h2>{grid(['setting', 'base', 'winner'], rows)}{confirmed}</section>"
    return [first, *(section(table, list(tables)) for table in tables)]


def _trials(study: Study, keys: Sequence[str]) -> str:
    """The table of all trials: complete ones first, the best first."""
    rows = []
    for n, trial in numbered_trials(study).items():
        spent, reason = trial.user_attrs, trial.user_attrs.get("reason")
        state = f"{STATES[trial.state]}: {reason}" if reason else STATES[trial.state]
        score = "" if trial.value is None else number(trial.value)
        point = [trial.params.get(key, "") for key in keys]
        cells = [state, score, f"{spent.get('samples', 0):,}", f"{spent.get('seconds', 0):,.0f}", *point]
        rank = (trial.state != TrialState.COMPLETE, trial.value is None, sign(study) * (trial.value or 0.0), n)
        rows.append((rank, row(str(n), texts(cells))))
    return grid(texts(["trial", "state", "score", "samples", "seconds", *keys]), [cells for _, cells in sorted(rows)])
