"""Tables as Markdown for a README, and as small files for other programs. The same inputs give the same bytes."""

import csv
import io
import json
import re
from typing import Any

from src.reporting.runs import ANCHORS
from src.reporting.tables import Group, Table
from src.reporting.words import Metric, columns, count, losses, mean, number, reasons

# What a README has room for.
SHOWN = (
    *("fd", "fid", "kid", "precision", "recall", "coverage", "copies", "class_min_share"),
    *("accuracy", "fd_class_mean", "modes", "kl", "high_quality"),
)
ANCHOR_NAMES = {"real": "real images (floor)", "noise": "noise (ceiling)", "training_copies": "training copies"}


def markdown(tables: list[Table]) -> str:
    """A table of means, one of seeds and the verdicts, for each data set."""
    return "\n".join(_markdown(table) for table in tables)


def _markdown(table: Table) -> str:
    samples = table.protocol.get("samples")
    images = f"{samples:,} images, " if isinstance(samples, int) else ""
    lines = [f"**{table.data}**: {images}mean ± half of its 95 % t-interval over seeds", ""]
    if table.anchors:
        floor = table.anchors["real"]
        shown = [(key, metric) for key, metric in columns(floor, table.extractor) if metric.prefix in SHOWN]
        headers = [table.main if key == table.main else metric.header for key, metric in shown]
        headers.insert(1, "times the floor")
        rows = []
        for group in table.groups:
            cells = [" ".join(mean(group.summary(key))).strip() for key, _ in shown]
            summary = group.summary(table.main)
            cells.insert(1, times_floor(summary.mean if summary else None, floor[table.main]))
            rows.append([f"`{group.label}`", count(group), *cells])
        for name in ANCHORS:
            cells = anchor_cells(table.anchors[name], shown)
            cells.insert(1, times_floor(table.anchors[name][table.main], floor[table.main]))
            rows.append([f"*{ANCHOR_NAMES[name]}*", "", *cells])
        lines += [*_grid(["recipe", "seeds", *headers], rows), ""]

    seeds = sorted({run.seed for run in table.runs})
    rows = [
        [f"`{group.label}`", *(seed_cell(group, seed, table.main) for seed in seeds), further_seed(group, table.main)]
        for group in table.groups
    ]
    lines += [*_grid([f"{table.main} of seed", *map(str, seeds), "one further seed (95 %)"], rows), ""]
    verdicts = [f"- `{c.label}`: **{c.verdict}**: {reasons(c, table.main)}." for c in table.comparisons]
    failures = [f"- `{group.label}`: **{state}**: {seeds}." for group in table.groups for state, seeds in losses(group)]
    return "\n".join([*lines, *verdicts, *failures, *([""] if verdicts or failures else [])])


def _grid(headers: list[str], rows: list[list[str]]) -> list[str]:
    lines = [headers, ["-", *["-:"] * (len(headers) - 1)], *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in line) + " |" for line in lines]


def anchor_cells(anchor: dict[str, Any], shown: list[tuple[str, Metric]]) -> list[str]:
    """An anchor's numbers; it may have too few samples of a class for one that others have."""
    return [number(anchor[key]) if key in anchor else "-" for key, _ in shown]


def times_floor(value: float | None, floor: float) -> str:
    return "-" if value is None or floor <= 0 else f"{value / floor:.1f}"


def seed_cell(group: Group, seed: int, metric: str) -> str:
    """A seed's value, what became of it, or nothing where it was not started."""
    run = next((run for run in group.runs if run.seed == seed), None)
    if run is None:
        return ""
    return number(run.metrics[metric]) if run.finished else run.state


def further_seed(group: Group, metric: str) -> str:
    """The prediction interval; nothing where a single seed leaves it open."""
    summary = group.summary(metric)
    return " to ".join(map(number, summary.prediction)) if summary and summary.prediction else ""


def results(tables: list[Table]) -> dict[str, Any]:
    """Every number with its intervals, for programs.

    label -> `config` (short hash), `data`, `main` (the metric recipes are compared by), `started` (runs), `failed` and
    `unfinished` (their seeds), `against` (the verdict; null for the baseline), and for each metric `mean`, `low` and
    `high` (95 % interval of the mean), `predict_low` and `predict_high` (95 % interval of one further seed), `n`, and
    `seeds`: seed -> value. Intervals are null for a single seed.
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
    """File name -> JSON of means alone, a file for each recipe: `dvc metrics show` makes them one row each."""
    files = {}
    for table in tables:
        for group in table.groups:
            shown = columns(table.anchors.get("real", {}), table.extractor)
            means = {key: summary.mean for key, _ in shown if (summary := group.summary(key))}
            values = {"started": len(group.runs), "finished": len(group.finished), **means}
            name = re.sub(r"[^\w.-]", "_", group.label)  # a config's name may hold anything
            files[f"{name}.json"] = json.dumps(values, indent=2) + "\n"
    return files


def curves(tables: list[Table]) -> str:
    """CSV of every validation distance: recipe, seed, step, images seen, distance."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["recipe", "seed", "step", "images_seen", "validation_distance"])
    for table in tables:
        for group in table.groups:
            for run in group.runs:
                writer.writerows([group.label, run.seed, step, *point] for step, point in sorted(run.curve.items()))
    return buffer.getvalue()
