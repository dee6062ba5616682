import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from src.config.errors import UserError
from src.reporting.runs import find_runs, read_run

MakeRun = Callable[..., Path]
Edit = Callable[..., None]
RECORD = {"main": {"name": "fd_digits"}, "columns": [], "controls": {}, "control_names": {}, "protocol": {}}


def test_full_and_published_folders_read_alike(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("mlp_gan", 0, 2.5)
    make_run("mlp_gan", 1, 3.5, published=True)
    full, published = find_runs(str(tmp_path / "runs"))
    assert [full.seed, published.seed] == [0, 1]
    assert full.recipe == published.recipe
    assert [full.metrics["fd_digits"], published.metrics["fd_digits"]] == [2.5, 3.5]
    assert full.state == published.state == "finished"
    assert full.main == "fd_digits"
    assert full.curve == published.curve
    assert list(full.curve) == [10, 20]
    assert full.curve[10][0] == 320
    for run in (full, published):
        assert run.grid is not None
        assert run.grid.read_bytes()[:4] == b"\x89PNG"
        assert run.film is not None
        assert run.film.read_bytes()[:3] == b"GIF"
    assert full.grid.name == "step-000000020.png"


def test_names_hold_nothing_that_only_this_machine_knows(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run("mlp_gan", 0)
    assert [run.name for run in find_runs(str(tmp_path / "runs"))] == ["runs/mlp_gan/0"]
    assert [run.name for run in find_runs(str(tmp_path / "runs" / "mlp_gan" / "0"))] == ["mlp_gan/0"]
    monkeypatch.chdir(tmp_path)
    assert [run.name for run in find_runs("runs/mlp_gan")] == ["runs/mlp_gan/0"]


def test_states(make_run: MakeRun, tmp_path: Path) -> None:
    for seed, state in enumerate(("finished", "diverged", "unfinished")):
        make_run("mlp_gan", seed, state=state)
    assert [run.state for run in find_runs(str(tmp_path))] == ["finished", "diverged", "unfinished"]


def test_trained_but_not_evaluated_is_unfinished(make_run: MakeRun) -> None:
    folder = make_run("mlp_gan", 0)
    (folder / "metrics.json").unlink()
    assert read_run(folder, "0").state == "unfinished"


def test_a_diverged_run_stays_one_whatever_was_measured(make_run: MakeRun, edit: Edit) -> None:
    folder = make_run("mlp_gan", 0)
    edit(folder / "manifest.json", lambda manifest: manifest["ended"].update(reason="diverged"))
    assert read_run(folder, "0").state == "diverged"


def test_what_fresh_set_aside_is_passed_over(make_run: MakeRun, edit: Edit, tmp_path: Path) -> None:
    folder = make_run("mlp_gan", 0)
    shutil.copytree(folder, folder.with_name("0.kept1"))
    edit(folder / "metrics.json", lambda result: result["metrics"].update(fd_digits=9.0))
    assert [run.metrics["fd_digits"] for run in find_runs(str(tmp_path))] == [9.0]


def test_a_run_and_its_copy_count_once(make_run: MakeRun, edit: Edit, tmp_path: Path) -> None:
    for seed in range(2):
        shutil.copytree(make_run("mlp_gan", seed), tmp_path / "published" / str(seed))
    runs = find_runs([str(tmp_path / "runs"), str(tmp_path / "published"), str(tmp_path)])
    assert [run.seed for run in runs] == [0, 1]
    edit(tmp_path / "published" / "0" / "metrics.json", lambda result: result["metrics"].update(fd_digits=9.0))
    with pytest.raises(UserError, match="same config and seed with different results"):
        find_runs(str(tmp_path))


def test_two_trainings_of_the_same_count_once(make_run: MakeRun, edit: Edit, tmp_path: Path) -> None:
    shutil.copytree(folder := make_run("mlp_gan", 0), again := folder.with_name("again"))
    edit(again / "manifest.json", lambda manifest: manifest["ended"].update(seconds=1e4, cpu_seconds=1e4))
    assert len(find_runs(str(tmp_path))) == 1
    edit(again / "manifest.json", lambda manifest: manifest["ended"].update(best=9.0))
    with pytest.raises(UserError, match="same config and seed with different results"):
        find_runs(str(tmp_path))


def test_the_training_that_came_farthest_counts(make_run: MakeRun, edit: Edit, tmp_path: Path) -> None:
    folder = make_run("mlp_gan", 0)
    for name in ("a_begun", "trained", "z_begun"):
        (shutil.copytree(folder, folder.with_name(name)) / "metrics.json").unlink()
        edit(folder.with_name(name) / "manifest.json", lambda manifest: manifest["ended"].update(best=9.0))
        if "begun" in name:
            edit(folder.with_name(name) / "manifest.json", lambda manifest: manifest.pop("ended"))
    assert [run.path for run in find_runs(str(tmp_path))] == [folder.resolve()]
    shutil.rmtree(folder)
    assert [run.path.name for run in find_runs(str(tmp_path))] == ["trained"]


def test_a_line_that_a_crash_cut_short_is_passed_over(make_run: MakeRun) -> None:
    folder = make_run("mlp_gan", 0)
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 30, "samples_seen": 960, "validation/fd_dig')
    assert list(read_run(folder, "0").curve) == [10, 20]


@pytest.mark.parametrize("where", ["nowhere", "empty"])
def test_a_wrong_path_is_named(where: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=where):
        find_runs(str(tmp_path / where))


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("metrics.json", "{"),
        ("metrics.json", "[]"),
        ("metrics.json", json.dumps(RECORD | {"metrics": {"is_digits": 3.0}})),
        ("metrics.json", json.dumps(RECORD | {"metrics": {"fd_digits": float("nan")}})),
        ("manifest.json", "not json"),
        ("config.yaml", "name: [unclosed"),
        ("config.yaml", "name: mlp_gan"),
        ("config.yaml", "- a list"),
        ("config.yaml", "model: {_target_: os.system}"),
    ],
)
def test_a_damaged_folder_is_named(file: str, content: str, make_run: MakeRun, tmp_path: Path) -> None:
    (make_run("mlp_gan", 0) / file).write_text(content)
    with pytest.raises(UserError, match="runs/mlp_gan/0 cannot be read"):
        find_runs(str(tmp_path / "runs"))


def test_a_record_of_an_earlier_version_says_how_to_renew_it(make_run: MakeRun, edit: Edit, tmp_path: Path) -> None:
    edit(make_run("mlp_gan", 0) / "metrics.json", lambda result: [result.pop(key) for key in ("main", "columns")])
    with pytest.raises(
        UserError, match=r"has no main and no columns: python -m src\.evaluate run=runs/mlp_gan/0 makes it again"
    ):
        find_runs(str(tmp_path / "runs"))
