import re
from collections.abc import Callable
from pathlib import Path

import pytest

from src.reporting.charts import WIDTH, Axis, axis_for, colour, dots, short, training_curves
from src.reporting.runs import Run, find_runs
from src.reporting.tables import make_tables

MakeRun = Callable[..., Path]
Edit = Callable[..., None]


def test_axis() -> None:
    linear = Axis(0, 10, 100, 200)
    assert [linear.at(0), linear.at(5), linear.at(10)] == [100, 150, 200]
    assert linear.ticks() == [0, 2, 4, 6, 8, 10]
    log = Axis(1, 100, 200, 100, log=True)
    assert [log.at(1), log.at(10), log.at(100), log.at(-3)] == [200, 150, 100, 200]
    assert log.ticks() == [1, 2, 5, 10, 20, 50, 100]


@pytest.mark.parametrize("values", [[2.0, 2.0], [0.0, 0.0], [1.95, 2.05], [1e-4, 3.0], [-1.0, 4000.0]])
def test_every_axis_has_ticks_and_room(values: list[float]) -> None:
    axis = axis_for(values, 0, 100)
    assert 2 <= len(axis.ticks()) <= 10
    assert axis.low < min(values)
    assert axis.high > max(values)


def test_ticks_read_well() -> None:
    assert [short(v) for v in (0.30000000000000004, 12.0, 5000, 250_000, 1_500_000)] == ["0.3", "12", "5000", "250k", "1.5M"]


def test_colours_come_again_dashed() -> None:
    assert len({colour(i) for i in range(14)}) == 14


def test_dots_stand_where_their_numbers_are(five_seeds: list[Run]) -> None:
    (table,) = make_tables(five_seeds)
    chart = dots(table)
    found = [
        (float(x), float(value)) for x, value in re.findall(r'<circle class="dot" cx="([\d.]+)".*?: ([\d.]+)</title>', chart)
    ]
    assert len(found) == 15
    (x0, v0), (x1, v1) = min(found, key=lambda pair: pair[1]), max(found, key=lambda pair: pair[1])
    for x, value in found:  # one linear axis for all
        assert x == pytest.approx(x0 + (x1 - x0) * (value - v0) / (v1 - v0), abs=0.5)
    assert 0 < x0 < x1 < WIDTH
    assert f">floor {table.floor:.3f}<" in chart


def test_a_far_floor_does_not_press_the_dots_together(make_run: MakeRun, tmp_path: Path) -> None:
    for seed in range(3):
        make_run("mlp_gan", seed, 100 + seed)
    (table,) = make_tables(find_runs(str(tmp_path)))
    assert "◂ floor" in dots(table)
    assert "<line" not in dots(table)


def test_distances_far_apart_have_a_logarithmic_axis(make_run: MakeRun, tmp_path: Path) -> None:
    for seed, distance in enumerate((2.5, 25.0, 250.0)):
        make_run("mlp_gan", seed, distance)
    (table,) = make_tables(find_runs(str(tmp_path)))
    x = [float(x) for x in re.findall(r'class="dot" cx="([\d.]+)"', dots(table))]
    assert x[1] - x[0] == pytest.approx(x[2] - x[1], abs=0.2)
    interval = re.search(r'class="interval" d="M([\d.]+) ', dots(table))
    assert interval is not None
    assert float(interval.group(1)) >= 0  # its low end is below zero


def test_curves_mark_what_diverged(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("mlp_gan", 0)
    make_run("mlp_gan", 1, state="diverged")
    (table,) = make_tables(find_runs(str(tmp_path)))
    chart = training_curves(table)
    assert chart.count('class="curve"') == 2
    assert chart.count('class="mean"') == 1


def test_without_numbers_no_chart(make_run: MakeRun, tmp_path: Path) -> None:
    (make_run("mlp_gan", 0, state="diverged") / "metrics.jsonl").unlink()
    (table,) = make_tables(find_runs(str(tmp_path)))
    assert [dots(table), training_curves(table)] == ["", ""]


def test_curves_over_minutes_end_where_the_training_did(make_run: MakeRun, edit: Edit, tmp_path: Path) -> None:
    for seed, seconds in ((0, 60), (1, 120)):
        folder = make_run("mlp_gan", seed)
        edit(folder / "manifest.json", lambda manifest, seconds=seconds: manifest["ended"].update(seconds=seconds))
    make_run("running", 0, state="unfinished")
    chart = training_curves(make_tables(find_runs(str(tmp_path)))[0], over="minutes")
    ends = [float(points.split()[-1].split(",")[0]) for points in re.findall(r'points="([^"]+)"', chart)]
    assert len(ends) == 2  # of an unfinished one nothing is known
    assert ends[1] - 52 == pytest.approx(2 * (ends[0] - 52), abs=0.2)
