import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from src.report import report
from src.reporting.runs import read_run

ROOT = Path(__file__).parent.parent
Command = Callable[..., subprocess.CompletedProcess]
KINDS = ("out", "table", "json", "curves", "metrics")


@pytest.fixture
def runs(tiny_run: Path, tmp_path: Path) -> Path:
    """Three seeds of one recipe."""
    for seed in range(3):
        folder = tmp_path / "runs" / "tiny" / str(seed)
        shutil.copytree(tiny_run, folder, ignore=shutil.ignore_patterns("checkpoints", "wandb"))
        config = yaml.safe_load((folder / "config.yaml").read_text()) | {"seed": seed}
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return tmp_path / "runs"


def settings(runs: Path, **changes: object) -> dict[str, object]:
    return {"runs": str(runs), "baseline": None, "films": "beside", "figures": None, **dict.fromkeys(KINDS), **changes}


def everything(out: Path) -> dict[str, str]:
    names = {"out": "page.html", "table": "table.md", "json": "table.json", "curves": "curves.csv", "metrics": "metrics"}
    return {kind: str(out / name) for kind, name in names.items()}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_one_command_makes_all(runs: Path, tmp_path: Path, in_process: Command) -> None:
    words = [f"{kind}={path}" for kind, path in everything(tmp_path / "out").items()]
    done = in_process("report", f"runs=[{runs}/tiny/0,{runs}/tiny/1,{runs}/tiny/2]", *words)
    assert done.returncode == 0, done.stderr
    files = contents(tmp_path / "out")
    film = "page_files/film-mlp_gan-digits-0.gif"
    assert sorted(files) == ["curves.csv", "metrics/mlp_gan-digits.json", "page.html", film, "table.json", "table.md"]
    assert f'href="{film}"'.encode() in files["page.html"]
    result = json.loads(files["table.json"])["mlp_gan-digits"]
    assert result["config"] == read_run(runs / "tiny" / "0", "0").recipe
    assert [result["fd_digits"]["n"], result["started"]] == [3, 3]
    assert json.loads(files["metrics/mlp_gan-digits.json"])["fd_digits"] == result["fd_digits"]["mean"]


def test_the_same_runs_give_the_same_bytes_wherever_they_lie(runs: Path, tmp_path: Path) -> None:
    report(settings(runs, **everything(tmp_path / "a")))
    shutil.move(runs, tmp_path / "elsewhere" / "runs")
    report(settings(tmp_path / "elsewhere" / "runs", **everything(tmp_path / "b")))
    first = contents(tmp_path / "a")
    assert first == contents(tmp_path / "b")
    assert not any(str(tmp_path).encode() in content for content in first.values())


def test_nothing_is_written_where_something_is_wrong(runs: Path, tmp_path: Path, in_process: Command) -> None:
    (runs / "tiny" / "1" / "metrics.json").write_text("{")
    words = [f"{kind}={path}" for kind, path in everything(tmp_path / "out").items()]
    done = in_process("report", f"runs={runs}", *words)
    assert done.returncode == 2
    assert "runs/tiny/1 cannot be read" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_what_a_link_names_is_written(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "table.md")
    report(settings(runs, table=str(tmp_path / "link")))
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "table.md").is_file()


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        ([], "runs=..."),
        (["runs=nowhere"], "nowhere is no folder"),
        (["runs=conf"], "no run at or below conf"),
        (["runs={runs}", "out=null"], "nothing to write"),
        (["runs={runs}", "out={runs}"], "cannot write"),
        (["runs={runs}", "films=true"], "known: beside, inline, none"),
        (["runs={runs}", "out=null", "table=t.md", "figures=pdf"], "give out="),
        (["runs={runs}", "baseline=mlp_gam"], "did you mean mlp_gan"),
    ],
)
def test_mistakes(words: list[str], answer: str, runs: Path, in_process: Command) -> None:
    done = in_process("report", *(word.format(runs=runs) for word in words))
    assert done.returncode == 2, done.stderr
    assert answer in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_torch_is_never_imported(runs: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from src.report import report; "
        f"report({settings(runs, **everything(tmp_path / 'out'))!r}); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=60).returncode == 0


def test_dvc_shows_a_row_for_each_recipe(runs: Path, tmp_path: Path) -> None:
    report(settings(runs, metrics=str(tmp_path / "results" / "metrics")))
    (tmp_path / "dvc.yaml").write_text("metrics:\n  - results/metrics\n")
    dvc = [sys.executable, "-m", "dvc"]
    subprocess.run([*dvc, "init", "--no-scm", "-q"], cwd=tmp_path, check=True, timeout=120)
    shown = subprocess.run(
        [*dvc, "metrics", "show", "--md"], cwd=tmp_path, check=True, timeout=120, capture_output=True, text=True
    )
    header, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in shown.stdout.strip().splitlines()]
    assert [row[0] for row in rows] == ["results/metrics/mlp_gan-digits.json"]
    assert dict(zip(header, rows[0], strict=True))["started"] == "3"
    assert "fd_digits" in header
