"""One root for data, runs and cache, and commands that run from anywhere."""

import importlib
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from src.config.home import described, home
from src.config.identity import short_hash

ROOT = Path(__file__).parents[2]
SCRIPTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]


def test_paths_are_below_the_home_and_no_part_of_the_identity(compose: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIGC_HOME", raising=False)
    here = compose("debug=tiny")
    assert here["paths"] == {"data": "data", "runs": "runs/tiny", "cache": ".cache"}
    monkeypatch.setenv("AIGC_HOME", "/lab")
    there = compose("debug=tiny")
    assert there["paths"] == {"data": "/lab/data", "runs": "/lab/runs/tiny", "cache": "/lab/.cache"}
    assert there["data"]["source"]["folder"] == "/lab/data/mnist"
    assert short_hash(there) == short_hash(here)
    assert described(there["paths"]) == "in /lab (AIGC_HOME names another place): data, runs/tiny, .cache"
    assert described({**there["paths"], "data": "/else/data"}).endswith("place): /else/data, runs/tiny, .cache")
    monkeypatch.setenv("AIGC_HOME", "~/lab")
    assert home() == Path.home() / "lab"


def test_a_run_made_here_is_read_with_another_home(tiny_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from src.runs.folder import RunFolder

    monkeypatch.setenv("AIGC_HOME", "/lab")
    assert RunFolder(tiny_run).experiment().config["paths"]["data"] == "/lab/data"
    assert RunFolder(tiny_run).experiment("/other").config["paths"]["data"] == "/other"


def test_a_command_runs_from_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "src.prepare", "-m", "data=digits"],
        cwd=tmp_path / "elsewhere",
        env={"PYTHONPATH": str(ROOT), "AIGC_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("digits: complete and checked")
    assert not list((tmp_path / "elsewhere").iterdir())


def test_every_command_is_a_console_command_too() -> None:
    commands = {path.stem for path in (ROOT / "src").glob("*.py")} - {"__init__"}
    assert {f"aigc-{name}": f"src.{name}:main" for name in commands} == SCRIPTS
    assert all(callable(importlib.import_module(f"src.{name}").main) for name in commands)
