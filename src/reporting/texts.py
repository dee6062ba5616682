"""Tables as Markdown for a README, and as small files for other programs. The same inputs give the same bytes."""

import csv
import io
import json
import re
from typing import Any

from src.reporting.findings import verdicts
from src.reporting.tables import Group, Table
from src.reporting.words import Cell, count, number, seed_cells, sheet

# Key of `Run.cost` -> header.
COSTS = {
    "parameters": "parameters",
    "samples_seen": "training samples",
    "cpu_seconds": "CPU s of training",
    "sampling_cpu_seconds_per_1000": "CPU s per 1,000 samples",
}


def markdown(tables: list[Table]) -> str:
    """For each table: means, costs where the cost of sampling is known, values of each seed, and verdicts."""
    return "\n".join(_markdown(table) for table in tables)


def _markdown(table: Table) -> str:
    samples = table.protocol.get("samples")
    measured = f"{samples:,} samples, " if isinstance(samples, int) else ""
    lines = [f"**{table.data}**: {measured}mean ± half of its 95 % t-interval over seeds", ""]
    if shown := [column for column in table.columns if not column.page_only]:
        found = sheet(table, [column._replace(header=table.main) if column.key == table.main else column for column in shown])
        rows = [
            [f"`{group.label}`", count(group), *map(_cell, cells)]
            for group, cells in zip(table.groups, found.recipes, strict=True)
        ]
        rows += [[f"*{name}*", "", *map(_cell, cells)] for name, cells in found.controls.items()]
        lines += [*_grid(["recipe", "seeds", *map(_cell, found.heads)], rows), ""]
        lines += [found.note, ""] if found.note else []

    if any(group.cost("sampling_cpu_seconds_per_1000") for group in table.groups):
        costs = [[f"`{group.label}`", *(_cost(group.cost(key)) for key in COSTS)] for group in table.groups]
        lines += [*_grid(["recipe", *COSTS.values()], costs), ""]
    rows = [[f"`{group.label}`", *seed_cells(table, group), further_seed(group, table.main)] for group in table.groups]
    lines += [*_grid([f"{table.main} of seed", *map(str, table.seeds), "one further seed (95 %)"], rows), ""]
    lines += (items := [f"- `{label}`: **{verdict}**: {words}." for verdict, label, words in verdicts(table)])
    return "\n".join([*lines, *([""] if items else [])])


def _cost(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}" if value >= 100 else number(value)


def _cell(cell: Cell) -> str:
    return " ".join(filter(None, (cell.text, cell.half, cell.marks)))


def _grid(headers: list[str], rows: list[list[str]]) -> list[str]:
    lines = [headers, ["-", *["-:"] * (len(headers) - 1)], *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in line) + " |" for line in lines]


def further_seed(group: Group, metric: str) -> str:
    """The 95 % prediction interval for one further seed; empty with fewer than two seeds."""
    summary = group.summary(metric)
    return " to ".join(map(number, summary.prediction)) if summary and summary.prediction else ""


def results(tables: list[Table]) -> dict[str, Any]:
    """Every number with its intervals, for programs.

    label -> `config` (short hash), `data`, `main` (the metric recipes are compared by), `better` (lower or higher), `started`
    (runs), `failed` and `unfinished` (their seeds), `against` (the verdict; null for the baseline), and for each metric
    `mean`, `low` and `high` (95 % interval of the mean), `predict_low` and `predict_high` (95 % interval of one further
    seed), `n`, and `seeds`: seed -> value. Intervals are null for a single seed.
    """
    return {group.label: _result(group, table) for table in tables for group in table.groups}


def _result(group: Group, table: Table) -> dict[str, Any]:
    metrics = {}
    for key in sorted({key for run in group.finished for key in run.metrics}):
        summary = group.summary(key)
        assert summary is not None, "a finished run has this metric"
        low, high = summary.interval or (None, None)
        predict_low, predict_high = summary.prediction or (None, None)
        metrics[key] = {
            "mean": summary.mean,
            "low": low,
            "high": high,
            "predict_low": predict_low,
            "predict_high": predict_high,
            "n": len(summary.seeds),
            "seeds": {str(seed): value for seed, value in summary.seeds.items()},
        }
    against = next((comparison for comparison in table.comparisons if comparison.label == group.label), None)
    return {
        "config": group.recipe,
        "data": table.data,
        "main": table.main,
        "better": table.better,
        "started": len(group.runs),
        "failed": group.seeds("diverged"),
        "unfinished": group.seeds("unfinished"),
        "against": against
        and {
            "baseline": against.baseline,
            "difference": against.difference,
            "low": against.interval and against.interval.low,
            "high": against.interval and against.interval.high,
            "p": against.p,
            "n": len(against.seeds),
            "verdict": against.verdict,
        },
        **metrics,
    }


def metrics_files(tables: list[Table]) -> dict[str, str]:
    """File name -> JSON of means, one file for each recipe: `dvc metrics show` prints a row for each file."""
    files = {}
    for table in tables:
        for group in table.groups:
            means = {column.key: summary.mean for column in table.columns if (summary := group.summary(column.key))}
            values = {"started": len(group.runs), "finished": len(group.finished), **means}
            name = re.sub(r"[^\w.-]", "_", group.label)  # a config's name may have any characters
            files[f"{name}.json"] = json.dumps(values, indent=2) + "\n"
    return files


def curves(tables: list[Table]) -> str:
    """CSV of the main metric on the validation split while training."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["recipe", "seed", "step", "samples_seen", "validation"])
    for table in tables:
        for group in table.groups:
            for run in group.runs:
                writer.writerows([group.label, run.seed, step, *point] for step, point in sorted(run.curve.items()))
    return buffer.getvalue()
