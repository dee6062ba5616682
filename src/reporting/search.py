"""The page of a sweep: its cost, the importance of its settings, and its winner's results on fresh seeds."""

import math
from collections.abc import Mapping, Sequence
from html import escape

from optuna.study import Study
from optuna.trial import TrialState

from src.reporting.charts import HEIGHT, RIGHT, plane, polyline, short, svg
from src.reporting.markup import document, figure, folded, grid, row, texts
from src.reporting.page import STATISTICS, section
from src.reporting.provenance import cost, duration
from src.reporting.tables import Table
from src.reporting.words import counted, number
from src.search.study import STATES, importances, numbered_trials, sign, winner

COLOURS = {TrialState.COMPLETE: "c0", TrialState.PRUNED: "c6"}  # of style.css; trials in other states are not drawn

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
    charts = figure(score_chart(study), caption)
    charts += figure(curve_chart(study), "Validation score of each trial while it trained")
    listed = "".join(f"<p>{escape(purpose)}</p><pre>{escape(command)}</pre>" for purpose, command in commands.items())
    sections = [
        f"<section><h2>Score against budget</h2>{charts}</section>",
        f"<section><h2>What mattered</h2>{_importance(study)}</section>",
        *_winner(study, keys, base, tables),
        f"<section><h2>Trials</h2>{folded('all of them', _trials(study, keys))}</section>",
        f"<section><h2>How it was made</h2>{cost(list(tables)) if tables else ''}{listed}</section>",
    ]
    title = f"{study.study_name}: {counted(len(numbered_trials(study)), 'trial')}"
    return document(title, _lead(study), sections, f"{NOTES}</p><p>{STATISTICS}")


def _lead(study: Study) -> str:
    trials = numbered_trials(study).values()
    states = sorted(STATES[trial.state] for trial in trials)
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    samples, seconds = (sum(trial.user_attrs.get(key, 0) for trial in trials) for key in ("samples", "seconds"))
    words = f"{counts}; {short(samples)} training samples in {duration(seconds)} of all trials together."
    if best := winner(study):
        words += f" The best validation score is {number(best[1].value or 0)}, of trial {best[0]}."
    return words


def score_chart(study: Study) -> str:
    """Score of each trial over the training samples of all trials up to it. Empty without scores."""
    spent, scores = 0, []
    for n, trial in numbered_trials(study).items():
        spent += trial.user_attrs.get("samples", 0)
        if trial.state in COLOURS and trial.value is not None and math.isfinite(trial.value):
            scores.append((n, trial.state, spent, trial.value))
    if not scores:
        return ""
    x, y, parts = plane([(at, value) for *_, at, value in scores], last=spent)
    best, line, marks = None, "", []
    for n, state, at, value in scores:
        px, py, title = x.at(at), y.at(value), f"<title>trial {n}: {number(value)}</title>"
        if state == TrialState.COMPLETE:
            mark = f'<circle class="dot" cx="{px}" cy="{py}" r="4.5">{title}</circle>'
            if best is None or sign(study) * value < sign(study) * best:
                line += f"H{px}V{py}" if line else f"M{px} {py}"
                best = value
        else:
            mark = f'<path class="mean" d="M{px - 3} {py - 3}l6 6m0 -6l-6 6">{title}</path>'
        marks.append(f'<g class="{COLOURS[state]}">{mark}</g>')
    if line:
        parts.append(f'<g class="c0"><path class="curve" d="{line}H{RIGHT}"/></g>')
    return svg([*parts, *marks], HEIGHT, "validation score over the cost of the sweep", "training samples, all trials together")


def curve_chart(study: Study) -> str:
    """Validation score over each trial's own budget. Empty without any."""
    lines = []
    for n, trial in numbered_trials(study).items():
        points = [(step, value) for step, value in sorted(trial.intermediate_values.items()) if math.isfinite(value)]
        if points and trial.state in COLOURS:
            lines.append((n, trial.state, points))
    if not lines:
        return ""
    x, y, parts = plane([point for *_, points in lines for point in points])
    for n, state, points in sorted(lines, key=lambda line: line[1] == TrialState.COMPLETE):  # complete ones on top
        curve = polyline(x, y, points, f"trial {n}, {STATES[state]}")
        end = f'<circle class="dot" cx="{x.at(points[-1][0])}" cy="{y.at(points[-1][1])}" r="2.5"/>'
        parts.append(f'<g class="{COLOURS[state]}">{curve}{end}</g>')
    below = "per cent of a trial's budget of samples" if x.high <= 100 else "training samples of a trial"
    return svg(parts, HEIGHT, "validation score of each trial while it trained", below)


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
    return [first, *(section(table, list(tables), films=False) for table in tables)]


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
