import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from src.reporting.page import page
from src.reporting.runs import Run, find_runs
from src.reporting.tables import make_tables
from src.reporting.texts import curves, markdown, metrics_files, results

MakeRun = Callable[..., Path]
Edit = Callable[..., None]


def cells(text: str, start: str) -> list[str]:
    """The cells of the Markdown row whose first one is `start`."""
    return next(
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith(f"| {start} |")
    )


def test_markdown(five_seeds: list[Run], make_run: MakeRun, tmp_path: Path) -> None:
    make_run("base", 5, state="diverged")
    (table,) = make_tables(find_runs(str(tmp_path)))
    text = markdown([table])
    header = cells(text, "recipe")
    assert header[1:4] == ["seeds", "fd_digits", "times the floor"]
    base, real = cells(text, "`base-digits`"), cells(text, "*real images (floor)*")
    floor = table.floor
    assert base[1:4] == ["5 of 6", "2.00 ± 0.11", f"{2.0 / floor:.1f}"]
    assert [real[2], real[3]] == [f"{floor:.3f}", "1.0"]
    assert len(base) == len(real) == len(header)
    further = "1.729 to 2.271"  # 2 +- 2.776 * 0.0892 * sqrt(6/5)
    assert f"| `base-digits` | 2.050 | 1.900 | 2.000 | 2.120 | 1.930 | diverged | {further} |" in text
    assert "| `good-digits` | 1.050 | 0.9100 | 1.020 | 1.150 | 0.9700 |  | " in text
    assert "- `good-digits`: **better**: fd_digits is 0.980 lower than that of base-digits" in text
    assert "- `base-digits`: **diverged**: seed 5." in text


def test_a_control_without_a_number_is_a_dash(make_run: MakeRun, edit: Edit, tmp_path: Path) -> None:
    """Copies of the training images may have too few samples of a class for its distance."""

    def add(result: dict[str, Any]) -> None:
        key = "fd_class_mean_digits"
        result["metrics"][key], result["controls"]["real"][key], result["controls"]["noise"][key] = 2.5, 1.5, 9.0
        result["columns"].append({"key": key, "header": "class FD ↓", "meaning": "", "better": "lower"})

    edit(make_run("cgan", 0) / "metrics.json", add)
    tables = make_tables(find_runs(str(tmp_path / "runs")))
    text = markdown(tables)
    column = cells(text, "recipe").index("class FD ↓")
    assert [cells(text, f"*{name}*")[column] for name in ("real images (floor)", "training copies")] == ["1.500", "-"]
    assert "<td>1.500</td>" in page(tables)


def test_bounds_and_costs_are_said(make_run: MakeRun, edit: Edit, tmp_path: Path) -> None:
    for name in ("flow", "gan"):
        folder = make_run(name, 0)
        edit(folder / "metrics.json", lambda result: result.pop("bounds", None))
        edit(
            folder / "manifest.json", lambda manifest: manifest.update(evaluation_cost={"sampling_cpu_seconds_per_1000": 12.5})
        )
    edit(tmp_path / "runs/flow/0/metrics.json", lambda result: result.update(bounds={"fd_digits": "50 steps of Heun"}))
    found = markdown(make_tables(find_runs([str(tmp_path / "runs")])))
    rows = [line for line in found.splitlines() if line.startswith("| `")]
    assert "| ≤ 1.000 |" in rows[0]
    assert "≤" not in rows[1]
    assert "≤ is an upper bound (flow-digits: 50 steps of Heun)." in found
    assert "| recipe | parameters | training samples | CPU s of training | CPU s per 1,000 samples |" in found
    assert rows[2].endswith("| 12.50 |")


def test_one_seed_says_so(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("mlp_gan", 3, 2.5)
    text = markdown(make_tables(find_runs(str(tmp_path))))
    assert cells(text, "`mlp_gan-digits`")[1:3] == ["1 of 1 (one seed)", "2.500"]
    assert "| `mlp_gan-digits` | 2.500 |  |" in text


def test_no_run_finished(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("mlp_gan", 0, state="diverged")
    tables = make_tables(find_runs(str(tmp_path)))
    assert "| `mlp_gan-digits` | diverged |" in markdown(tables)
    assert results(tables)["mlp_gan-digits"]["failed"] == [0]


def test_results_carry_both_intervals(five_seeds: list[Run]) -> None:
    tables = make_tables(five_seeds)
    found = json.loads(json.dumps(results(tables), allow_nan=False))
    summary = tables[0].groups[1].summary("fd_digits")
    assert summary is not None
    assert summary.interval is not None
    assert summary.prediction is not None
    assert found["good-digits"]["config"] == tables[0].groups[1].recipe
    assert found["good-digits"]["fd_digits"] == {
        "mean": summary.mean,
        "low": summary.interval.low,
        "high": summary.interval.high,
        "predict_low": summary.prediction.low,
        "predict_high": summary.prediction.high,
        "n": 5,
        "seeds": {str(run.seed): run.metrics["fd_digits"] for run in tables[0].groups[1].runs},
    }
    assert found["good-digits"]["against"]["verdict"] == "better"
    assert found["base-digits"]["against"] is None
    assert {key for key in found["base-digits"] if key.endswith("_digits")} == set(five_seeds[0].metrics) - {
        "d_real",
        "d_fake",
        "d_gap",
    }


def test_curves_hold_every_validation(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("mlp_gan", 0)
    make_run("mlp_gan", 1, state="diverged")
    runs = find_runs(str(tmp_path))
    rows = list(csv.DictReader(io.StringIO(curves(make_tables(runs)))))
    logged = [json.loads(line) for line in (runs[0].path / "metrics.jsonl").read_text().splitlines()]
    expected = [
        {
            "recipe": "mlp_gan-digits",
            "seed": seed,
            "step": str(line["step"]),
            "samples_seen": str(line["samples_seen"]),
            "validation": str(line["validation/fd_digits"]),
        }
        for seed in ("0", "1")
        for line in logged
        if "validation/fd_digits" in line
    ]
    assert rows == expected


@pytest.mark.parametrize("name", ["mlp_gan", "..\\evil"])
def test_metrics_files_stay_in_their_folder(name: str, make_run: MakeRun, edit: Callable[..., None], tmp_path: Path) -> None:
    edit(make_run("x", 0, 2.5) / "config.yaml", lambda config: config.update(name=name))
    ((file, text),) = metrics_files(make_tables(find_runs(str(tmp_path)))).items()
    assert "/" not in file
    values = json.loads(text)
    assert [values["started"], values["finished"], values["fd_digits"]] == [1, 1, 2.5]
