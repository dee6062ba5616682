from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from src.evaluation.intervals import Interval
from src.reporting.findings import finding, outliers, p_words, reasons, troubles
from src.reporting.runs import Run, find_runs
from src.reporting.tables import Comparison, make_tables

MakeRun = Callable[..., Path]
Edit = Callable[..., None]


def found(tmp_path: Path, baseline: str | None = None) -> str:
    (table,) = make_tables(find_runs(str(tmp_path / "runs")), baseline)
    return finding(table)


def test_the_best_is_better(five_seeds: list[Run]) -> None:
    (table,) = make_tables(five_seeds)
    floor = table.floor
    assert floor is not None
    assert finding(table) == (
        "good-digits has the lowest mean of 3 recipes "
        f"(fd_digits 1.02 ± 0.11, {1.02 / floor:.1f} times the floor, over 5 seeds). "
        "It is better than the baseline: fd_digits is 0.980 lower than that of base-digits "
        "(95 % interval of the difference -1.000 to -0.960), 5 common seeds, Holm-adjusted p < 0.001."
    )


def test_the_baseline_is_the_best(five_seeds: list[Run], tmp_path: Path) -> None:
    words = found(tmp_path, "good")
    assert words.startswith("good-digits, the baseline, has the lowest mean of 3 recipes (")
    assert "The next, " in words
    assert " is worse than the baseline: fd_digits is 0.980 higher" in words


def test_inconclusive_and_what_is_proven_nevertheless(five_seeds: list[Run], make_run: MakeRun, tmp_path: Path) -> None:
    make_run("lucky", 0, 0.5)
    words = found(tmp_path, "same")
    assert words.startswith("Inconclusive: lucky-digits has the lowest mean of 4 recipes (fd_digits 0.5000, ")
    assert "It has too few seeds in common with the baseline (5 are needed): fd_digits is 1.450 lower" in words
    assert "good-digits is better than the baseline: fd_digits is " in words
    (table,) = make_tables([run for run in five_seeds if run.config["name"] != "good"])
    assert "is not proven to differ from the baseline: " in finding(table)


def test_one_recipe_and_none(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("bad", 0, state="diverged")
    assert found(tmp_path) == "No run has finished."
    make_run("mlp_gan", 0, 2.5)
    assert found(tmp_path).startswith("mlp_gan-digits: fd_digits 2.500, ")
    assert found(tmp_path).endswith("over 1 seed. One seed does not tell how far others scatter.")
    make_run("other", 0, 2.0)
    assert "no common seed with bad-digits" in found(tmp_path, "bad")


@pytest.mark.parametrize(
    ("values", "better", "expected"),
    [
        ([2.876, 34.21, 2.813, 1.891, 1.333], "lower", [1]),  # of results/zoo
        ([2.448, 3.542, 2.259, 2.576, 2.318], "lower", []),  # far only beside four that lie close together
        ([2.448, 0.0, 2.259, 2.576, 2.318], "lower", []),  # far better
        ([0.8, 0.82, 0.1], "higher", [2]),
        ([1.0, 1.0, 1.0, 9.0], "lower", [3]),
        ([1.0, 9.0], "lower", []),
    ],
)
def test_far_outliers(values: list[float], better: str, expected: list[int]) -> None:
    assert outliers(dict(enumerate(values)), better) == expected


def test_a_collapsed_seed_is_named(make_run: MakeRun, edit: Edit, tmp_path: Path) -> None:
    for seed, distance in enumerate((2.0, 2.1, 40.0)):
        folder = make_run("gan", seed, distance)
        edit(folder / "manifest.json", lambda manifest: manifest["spec"]["y"].update(names=["nought", *"123456789"]))
        edit(folder / "metrics.json", lambda result: result["metrics"].update(class_min_share_digits=0.08))
        edit(folder / "metrics.json", lambda result: result["controls"]["real"].update(class_min_share_digits=0.09))
    shares = {"class_min_share_digits": 0.0012, "class_shares_digits": [0.0012, 0.1988, *[0.1] * 8]}
    edit(folder / "metrics.json", lambda result: result["metrics"].update(shares))
    make_run("gan", 3, state="diverged")
    (table,) = make_tables(find_runs(str(tmp_path / "runs")))
    assert troubles(table) == [
        (
            "collapsed",
            "gan-digits",
            "seed 2: fd_digits is 40.00, the median of the recipe's seeds 2.100; "
            "class nought is 0.12 % of the samples, no class of real data below 9 %",
        ),
        ("diverged", "gan-digits", "seed 3"),
    ]


def test_reasons() -> None:
    tested = Comparison("a", "b", "lower", [0, 1, 2, 3, 4], -0.52, Interval(-0.73, -0.31), 0.0032, lost=1)
    assert tested.verdict == "better"
    assert replace(tested, better="higher").verdict == "worse"
    assert reasons(tested, "fd_digits") == (
        "fd_digits is 0.52 lower than that of b (95 % interval of the difference -0.73 to -0.31), 5 common seeds, "
        "Holm-adjusted p = 0.003; 1 run of the two did not finish and cannot be compared"
    )
    single = Comparison("a", "b", "lower", [0], 2.0, None, None, lost=0)
    assert reasons(single, "fid") == "fid is 2.000 higher than that of b, 1 common seed"
    assert reasons(replace(single, seeds=[], difference=None), "fid") == "no common seed with b"


def test_p() -> None:
    assert [p_words(0.0004), p_words(0.001), p_words(0.0496)] == ["p < 0.001", "p = 0.001", "p = 0.050"]
