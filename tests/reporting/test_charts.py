from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from src.reporting import charts, markup
from src.reporting.charts import COLOURS, PAGE, dots, file, inline, position_curves, short, training_curves
from src.reporting.runs import Run, find_runs, read_run
from src.reporting.tables import make_tables

MakeRun = Callable[..., Path]


def lines(figure: Any, marker: str) -> list[list[tuple[float, float]]]:
    """The points of each line of a chart that is drawn with this marker."""
    return [[*zip(*line.get_data(), strict=True)] for line in figure.axes[0].lines if line.get_marker() == marker]


def words(figure: Any) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def test_ticks_read_well() -> None:
    assert [short(v) for v in (0.30000000000000004, 12.0, 5000, 250_000, 1_500_000)] == ["0.3", "12", "5000", "250k", "1.5M"]


def test_dots_stand_where_their_numbers_are(five_seeds: list[Run]) -> None:
    (table,) = make_tables(five_seeds)
    chart = dots(table)
    expected = [[(run.metrics["fd_digits"], row) for run in group.runs] for row, group in enumerate(table.groups)]
    assert lines(chart, "o") == expected
    assert lines(chart, "|") == [[(pytest.approx(mean), row)] for row, mean in enumerate((2.0, 1.02, 2.0))]
    assert [group.label in words(chart) for group in table.groups] == [True] * 3


def test_a_far_floor_does_not_press_the_dots_together(make_run: MakeRun, tmp_path: Path) -> None:
    for seed in range(3):
        make_run("mlp_gan", seed, 100 + seed)
    (table,) = make_tables(find_runs(str(tmp_path)))
    chart: Any = dots(table)
    assert "floor" in chart.axes[0].get_xlabel()
    assert not any("floor" in text for text in words(chart))
    assert chart.axes[0].get_xlim()[0] > 50


def test_distances_far_apart_have_a_logarithmic_axis(make_run: MakeRun, tmp_path: Path) -> None:
    for seed, distance in enumerate((2.5, 25.0, 250.0)):
        make_run("mlp_gan", seed, distance)
    (table,) = make_tables(find_runs(str(tmp_path)))
    chart: Any = dots(table)
    assert chart.axes[0].get_xscale() == "log"
    assert f"floor {table.floor:.3f}" in words(chart)
    interval = next(points for points in lines(chart, "None") if points[0][1] == points[1][1] == 0)
    assert interval[0][0] > 0  # its low end is below zero


def test_curves_mark_what_diverged(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("mlp_gan", 0)
    make_run("mlp_gan", 1, state="diverged")
    (table,) = make_tables(find_runs(str(tmp_path)))
    chart = training_curves(table)
    curve = [*table.runs[0].curve.values()]
    assert lines(chart, "") == [curve, curve]
    assert lines(chart, "x") == [curve[-1:]]


def test_without_numbers_no_chart(make_run: MakeRun, tmp_path: Path) -> None:
    (make_run("mlp_gan", 0, state="diverged") / "metrics.jsonl").unlink()
    (table,) = make_tables(find_runs(str(tmp_path)))
    assert [dots(table), training_curves(table)] == [None, None]
    assert inline(None, "") == ""


def test_on_the_page_a_chart_has_the_colours_of_the_page_and_its_text_unchanged(five_seeds: list[Run]) -> None:
    (table,) = make_tables(five_seeds)
    text = inline(dots(table), "a <title>")
    root = ElementTree.fromstring(text.replace("<svg", '<svg xmlns:xlink="http://www.w3.org/1999/xlink"', 1))
    assert not any(colour in text for colour in PAGE)
    assert "var(--c2)" in text
    assert f"floor {table.floor:.3f}" in "".join(root.itertext())
    assert 'aria-label="a &lt;title&gt;"' in text
    assert len(COLOURS) == markup.COLOURS
    style = markup.STYLE.read_text().split("@media")[0]
    assert all(f"--c{n}: {colour};" in style for n, colour in enumerate(COLOURS))


@pytest.mark.parametrize(("kind", "start"), [("pdf", b"%PDF"), ("svg", b"<?xml")])
def test_files_are_the_same_each_time(kind: str, start: bytes, make_run: MakeRun, tmp_path: Path) -> None:
    make_run("$\\bad{", 0)
    (table,) = make_tables(find_runs(str(tmp_path)))
    first, second = (file(training_curves(table), kind) for _ in range(2))  # type: ignore[arg-type]
    assert first == second
    assert first.startswith(start)


def test_charts_of_any_number_of_recipes_are_told_apart() -> None:
    """More recipes than colours are drawn dashed, and have a ring on the page."""
    assert [charts.look(n)["linestyle"] for n in (0, 6, 7, 13, 14)] == ["-", "-", "--", "--", "-"]


def test_nats_of_each_position(suite_run: Callable[..., Path], edit: Callable[..., None]) -> None:
    """A line of means over seeds for each recipe, and the 4-gram model's; as long as the shortest."""
    folders = [suite_run("gpt", seed, {"nats": 1.0}, "lower", {"ngram_4": {"nats": 2.0}}) for seed in (0, 1)]
    assert position_curves(*make_tables([read_run(folder, folder.name) for folder in folders])) is None
    for folder, curve in zip(folders, ([3.0, 2.0, 1.0], [5.0, 2.0]), strict=True):
        edit(folder / "metrics.json", lambda result, curve=curve: result["metrics"].update(nats_by_position=curve))
        edit(folder / "metrics.json", lambda result: result["controls"]["ngram_4"].update(nats_by_position=[6.0, 5.0, 4.0]))
    (axes,) = position_curves(*make_tables([read_run(folder, folder.name) for folder in folders])).axes
    model, control = axes.lines
    assert (list(model.get_xdata()), list(model.get_ydata())) == ([1, 2], [4, 2])
    assert list(control.get_ydata()) == [6, 5, 4]
