import json
import re
import shlex
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

from src.reporting.provenance import making
from src.reporting.runs import find_runs
from src.reporting.tables import make_tables


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_command_for_the_same_training_leaves_what_was_published(
    make_run: Callable[..., Path], edit: Callable[..., None], in_process: Any, tmp_path: Path
) -> None:
    folder = make_run("a b", 0, published=True)
    recorded = {"publish": str(folder), "evaluate": False, "on_change": "restart", "fresh": True}
    edit(folder / "config.yaml", lambda config: config.update(recorded))
    before = contents(folder)
    text = unescape(making(make_tables(find_runs(str(tmp_path / "runs")))))
    (line,) = re.findall(r"python -m src\.(train [^<\n]*)", text)
    answer = in_process(*shlex.split(line), cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert contents(folder) == before
    again = json.loads((tmp_path / "again" / "a b-digits" / "metrics.json").read_text())
    assert again["protocol"] == json.loads(before["metrics.json"])["protocol"]
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != ".cache") == ["again", "runs"]
