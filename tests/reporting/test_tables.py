import statistics
from collections.abc import Callable
from pathlib import Path

import pytest
from scipy import stats

from src.config.errors import UserError
from src.reporting.runs import Run, find_runs, read_run
from src.reporting.tables import group_runs, make_tables

MakeRun = Callable[..., Path]
Edit = Callable[..., None]


def test_seeds_of_a_recipe_are_one_group(five_seeds: list[Run]) -> None:
    groups = group_runs(reversed(five_seeds))
    assert [group.label for group in groups] == ["base-digits", "good-digits", "same-digits"]
    assert [[run.seed for run in group.runs] for group in groups] == [[0, 1, 2, 3, 4]] * 3
    assert len({group.recipe for group in groups}) == 3


def test_the_hash_tells_recipes_of_one_name_apart(make_run: MakeRun, edit: Edit, tmp_path: Path) -> None:
    make_run("mlp_gan", 0)
    make_run("other", 0)
    second = make_run("again", 0)
    edit(second / "config.yaml", lambda config: config.update(name="mlp_gan") or config["data"].update(batch_size=64))
    groups = group_runs(find_runs(str(tmp_path)))
    assert {group.label for group in groups} == {"other-digits"} | {
        f"mlp_gan-digits-{group.recipe}" for group in groups if group.runs[0].config["name"] == "mlp_gan"
    }


def test_summary(five_seeds: list[Run]) -> None:
    group = group_runs(five_seeds)[0]
    summary = group.summary("fd_digits")
    assert summary is not None
    assert summary.seeds == {0: 2.05, 1: 1.9, 2: 2.0, 3: 2.12, 4: 1.93}
    assert summary.mean == pytest.approx(2.0)
    half = stats.t.ppf(0.975, 4) * statistics.stdev(summary.seeds.values())
    assert summary.interval == pytest.approx((2 - half / 5**0.5, 2 + half / 5**0.5))
    assert summary.prediction == pytest.approx((2 - half * 1.2**0.5, 2 + half * 1.2**0.5))
    assert group.summary("no such metric") is None


def test_lost_runs_are_in_no_mean(make_run: MakeRun, edit: Edit, tmp_path: Path) -> None:
    make_run("mlp_gan", 0, 2.0)
    make_run("mlp_gan", 1, state="diverged")
    make_run("mlp_gan", 2, 4.0)
    make_run("mlp_gan", 3, state="unfinished")
    measured = make_run("mlp_gan", 4, 1000.0)  # an earlier checkpoint of a training that then diverged
    edit(measured / "manifest.json", lambda manifest: manifest["ended"].update(reason="diverged"))
    (table,) = make_tables(find_runs(str(tmp_path)))
    (group,) = table.groups
    summary = group.summary("fd_digits")
    assert summary is not None
    assert summary.mean == 3.0
    assert [group.seeds("diverged"), group.seeds("unfinished"), len(group.runs)] == [[1, 4], [3], 5]


def test_verdicts_against_scipy(five_seeds: list[Run]) -> None:
    (table,) = make_tables(five_seeds)
    values = [[run.metrics["fd_digits"] for run in group.runs] for group in table.groups]
    good, same = table.comparisons
    raw = [stats.ttest_rel(values[1], values[0]).pvalue, stats.ttest_rel(values[2], values[0]).pvalue]
    assert good.p == pytest.approx(2 * raw[0])  # the smaller of two
    assert same.p == pytest.approx(raw[1])
    assert good.difference == pytest.approx(-0.98)
    assert good.interval == pytest.approx(stats.ttest_rel(values[1], values[0]).confidence_interval(0.95))
    assert [good.verdict, same.verdict] == ["better", "inconclusive"]
    assert good.baseline == same.baseline == "base-digits"


def test_baseline_by_label_or_name(five_seeds: list[Run]) -> None:
    for name in ("good", "good-digits"):
        (table,) = make_tables(five_seeds, baseline=name)
        assert [(c.label, c.verdict) for c in table.comparisons] == [("base-digits", "worse"), ("same-digits", "worse")]
    with pytest.raises(UserError, match="did you mean good"):
        make_tables(five_seeds, baseline="goood")


def test_a_baseline_that_is_two_recipes(make_run: MakeRun, edit: Edit, tmp_path: Path) -> None:
    make_run("mlp_gan", 0)
    edit(make_run("b", 0) / "config.yaml", lambda config: config.update(name="mlp_gan") or config["data"].update(batch_size=64))
    with pytest.raises(UserError, match="baseline=mlp_gan is 2 recipes: say mlp_gan-digits-"):
        make_tables(find_runs(str(tmp_path)), baseline="mlp_gan")


def test_four_common_seeds_are_too_few(five_seeds: list[Run], make_run: MakeRun) -> None:
    kept = [run for run in five_seeds if (run.config["name"], run.seed) != ("good", 2)]
    lost = make_run("good2", 2, state="diverged")
    (table,) = make_tables([*kept, read_run(lost, "lost")])
    good, same = table.comparisons
    assert [good.verdict, good.p, good.seeds] == ["inconclusive: too few seeds", None, [0, 1, 3, 4]]
    assert same.p is not None


def test_only_common_seeds_are_compared(make_run: MakeRun, tmp_path: Path) -> None:
    for seed, distance in ((0, 2.0), (1, 2.0), (2, 50.0)):
        make_run("base", seed, distance)
    for seed, distance in ((0, 1.5), (1, 1.0), (7, 50.0)):
        make_run("other", seed, distance)
    make_run("strange", 9, 1.0)
    (table,) = make_tables(find_runs(str(tmp_path)))
    other, strange = table.comparisons
    assert [other.seeds, other.difference] == [[0, 1], -0.75]
    assert [strange.seeds, strange.difference, strange.verdict] == [[], None, "inconclusive: too few seeds"]


def test_identical_results_are_no_verdict(make_run: MakeRun, tmp_path: Path) -> None:
    for seed in range(5):
        make_run("a", seed, 2.0 + seed)
        make_run("b", seed, 2.0 + seed)
    (table,) = make_tables(find_runs(str(tmp_path)))
    assert [(c.p, c.verdict) for c in table.comparisons] == [(1.0, "inconclusive")]


def test_seeds_measured_in_two_ways_are_never_averaged(make_run: MakeRun, edit: Edit, tmp_path: Path) -> None:
    make_run("mlp_gan", 0)
    edit(make_run("mlp_gan", 1) / "metrics.json", lambda result: result["protocol"].update(weights_sha256="other"))
    with pytest.raises(UserError, match=r"runs/mlp_gan/0 and runs/mlp_gan/1 .*weights_sha256: \w+ -> other"):
        make_tables(find_runs(str(tmp_path / "runs")))


def test_what_differs_from_run_to_run_by_nature_is_no_difference(make_run: MakeRun, edit: Edit, tmp_path: Path) -> None:
    make_run("mlp_gan", 0)
    changed = {"checkpoint": "best-000000010.ckpt", "network_sha256": "other"}
    edit(make_run("mlp_gan", 1) / "metrics.json", lambda result: result["protocol"].update(changed))
    edit(make_run("raw", 0) / "metrics.json", lambda result: result["protocol"].update(weights="raw"))
    assert len(make_tables(find_runs(str(tmp_path)))) == 1


def test_each_data_set_and_protocol_has_its_own_table(make_run: MakeRun, edit: Edit, tmp_path: Path) -> None:
    make_run("mlp_gan", 0)
    fashion = make_run("fashion", 0)
    edit(fashion / "config.yaml", lambda config: config["data"].update(name="fashion_mnist"))
    edit(fashion / "metrics.json", lambda result: result["protocol"].update(data="fashion_mnist"))
    edit(make_run("few", 0) / "metrics.json", lambda result: result["protocol"].update(samples=100))
    tables = make_tables(find_runs(str(tmp_path)))
    assert [(table.data, table.protocol["samples"]) for table in tables] == [
        ("digits", 100),
        ("digits", 200),
        ("fashion_mnist", 200),
    ]
    assert all(not table.comparisons for table in tables)


def test_recipes_without_a_result_stand_with_their_data_set(make_run: MakeRun, edit: Edit, tmp_path: Path) -> None:
    make_run("mlp_gan", 0)
    make_run("bad", 0, state="diverged")
    elsewhere = make_run("elsewhere", 0, state="diverged")
    edit(elsewhere / "config.yaml", lambda config: config["data"].update(name="mnist"))
    digits, mnist = make_tables(find_runs(str(tmp_path)))
    assert [group.label for group in digits.groups] == ["bad-digits", "mlp_gan-digits"]
    assert [group.label for group in mnist.groups] == ["elsewhere-mnist"]
    assert [mnist.controls, mnist.comparisons, digits.comparisons] == [{}, [], []]
