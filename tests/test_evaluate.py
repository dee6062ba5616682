import json
import shutil
from pathlib import Path
from typing import Any


def test_again_gives_the_same_record_and_another_protocol_a_file_of_its_own(
    tiny_run: Path, command: Any, tmp_path: Path
) -> None:
    folder = shutil.copytree(tiny_run, tmp_path / "tiny" / "0")
    before = (folder / "metrics.json").read_text()
    (folder / "metrics.json").unlink()
    answer = command("evaluate", f"run={folder}", f"paths.cache={tmp_path}/cache")
    assert answer.returncode == 0, answer.stderr
    assert "fd_digits" in answer.stdout
    assert (folder / "metrics.json").read_text() == before

    answer = command("evaluate", f"run={folder}", "evaluation.samples=50", "evaluation.extractor=fashion")
    assert answer.returncode == 0, answer.stderr
    assert (folder / "metrics.json").read_text() == before
    other = json.loads((folder / "metrics-fashion-50-1000000.json").read_text())
    assert other["protocol"]["samples"] == 50
    assert "fd_fashion" in other["metrics"]


def test_damaged_checkpoints_are_named(tiny_run: Path, command: Any, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_run, tmp_path / "tiny" / "0")
    for path in folder.glob("checkpoints/*.ckpt"):
        path.write_bytes(b"damaged")
    answer = command("evaluate", f"run={folder}")
    assert answer.returncode == 2
    assert "has no whole checkpoint" in answer.stderr
