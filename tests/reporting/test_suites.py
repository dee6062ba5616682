"""Nothing here is an image or a distance: a record says what its metrics are."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from src.reporting.charts import dots, training_curves
from src.reporting.page import page
from src.reporting.runs import find_runs
from src.reporting.tables import Table, make_tables
from src.reporting.texts import curves, markdown, metrics_files, results
from src.runs.summary import summary

MakeRun = Callable[..., Path]


@pytest.fixture
def tables(suite_run: MakeRun, make_run: MakeRun, tmp_path: Path) -> list[Table]:
    """Of accuracies (higher is better), image distances, and nats that may be negative (lower is better)."""
    for seed in range(5):
        make_run("gan", seed, 2.0 + seed / 100)
        for name, value in (("flow", -1.5), ("glow", -1.0)):
            controls = {"gaussian": {"nats": 0.5}, "copies": {"nats": -1.2}}
            suite_run(name, seed, {"nats": value + seed / 100 * (name == "flow")}, "lower", controls)
        for name, value in (("clip", 0.6), ("dalle", 0.7)):
            controls = {"real": {"accuracy": 0.9, "bleu": 0.5}, "shuffled": {"accuracy": 0.1, "bleu": 0.3}}
            metrics = {"accuracy": value + seed / 100 * (name == "clip"), "bleu": 0.2 if name == "clip" else 0.4}
            suite_run(name, seed, metrics, "higher", controls)
    return make_tables(find_runs(str(tmp_path / "runs")))


def test_one_table_for_each_suite(tables: list[Table]) -> None:
    assert [(table.main, table.better) for table in tables] == [
        ("accuracy", "higher"),
        ("fd_digits", "lower"),
        ("nats", "lower"),
    ]
    assert [[group.label for group in table.groups] for table in tables] == [
        ["clip-digits", "dalle-digits"],
        ["gan-digits"],
        ["flow-digits", "glow-digits"],
    ]


def test_verdicts_know_what_is_better(tables: list[Table]) -> None:
    accuracy, _, nats = tables
    assert [(c.label, c.verdict, round(c.difference or 0, 2)) for c in accuracy.comparisons] == [
        ("dalle-digits", "better", 0.08)
    ]
    assert [(c.label, c.verdict, round(c.difference or 0, 2)) for c in nats.comparisons] == [("glow-digits", "worse", 0.48)]


def test_marks_where_a_control_does_better(tables: list[Table]) -> None:
    accuracy, _, nats = map(markdown, ([table] for table in tables))
    assert "| recipe | seeds | accuracy | bleu |" in accuracy
    assert "| `clip-digits` | 5 of 5 | 0.620 ± 0.020 | 0.2000 ± 0 † |" in accuracy
    assert "| `dalle-digits` | 5 of 5 | 0.7000 ± 0 | 0.4000 ± 0 |" in accuracy
    assert "† shuffled control: better than the recipe, or in a column's head than every recipe." in accuracy
    assert "† copies control: better" in nats
    assert "-1.0000" not in nats
    assert "| `glow-digits` | 5 of 5 | -1.000 ± 0 † |" in nats


def test_the_floor_itself_marks_nothing_and_what_beats_all_marks_the_head(suite_run: MakeRun, tmp_path: Path) -> None:
    controls = {"real": {"error": 0.1}, "noise": {"error": 9.0}, "copies": {"error": 0.2}, "silent": {}}
    for seed in range(2):
        suite_run("a", seed, {"error": 1.0}, "lower", controls)
        suite_run("b", seed, {"error": 2.0}, "lower", controls)
    text = markdown(make_tables(find_runs(str(tmp_path / "runs"))))
    assert "| recipe | seeds | error † | times the floor |" in text
    assert "| `a-digits` | 2 of 2 | 1.000 ± 0 | 10.0 |" in text
    assert "| *silent control* |  | - | - |" in text
    assert "\n† copies control: better" in text


def test_times_the_floor_only_of_positive_values_where_lower_is_better(tables: list[Table]) -> None:
    assert ["times the floor" in markdown([table]) for table in tables] == [False, True, True]
    (nats,) = (table for table in tables if table.main == "nats")
    nats.controls["gaussian"]["nats"] = -0.5
    assert "times the floor" not in markdown([nats])


def test_charts_of_negative_values(tables: list[Table]) -> None:
    for table in tables:
        seeds: Any = dots(table)
        assert [len(line.get_xdata()) for line in seeds.axes[0].lines if line.get_marker() == "o"] == [5] * len(table.groups)
        curves: Any = training_curves(table)
        assert curves.axes[0].get_ylabel() == f"validation {table.main}"
    for run in tables[2].runs:
        run.curve.update({30: (960, -2.0), 40: (1280, float("inf"))})
    changed: Any = training_curves(tables[2])
    assert [line.get_xdata()[-1] for line in changed.axes[0].lines] == [960] * 10


def test_every_file_has_every_suite(tables: list[Table]) -> None:
    text = page(tables)
    assert all(f"{table.main} of each seed" in text for table in tables)
    assert results(tables)["clip-digits"]["better"] == "higher"
    assert json.loads(metrics_files(tables)["clip-digits.json"]).keys() == {"started", "finished", "accuracy", "bleu"}
    assert "glow-digits,4,20," in curves(tables)


def test_the_numbers_for_people(suite_run: MakeRun) -> None:
    folder = suite_run(
        "a", 0, {"bleu": 0.25, "loss": 3.0}, "higher", {"copies": {"bleu": 0.5}, "noise": {"bleu": 0.0, "x": 1.0}}
    )
    assert [line.split() for line in summary(json.loads((folder / "metrics.json").read_text())).splitlines()] == [
        ["bleu", "0.250", "(copies", "0.500,", "noise", "0.000)"],
        ["loss", "3.000"],
    ]
