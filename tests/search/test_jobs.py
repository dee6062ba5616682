"""How trainings are started, waited for and ended."""

import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from src.config.errors import Interrupted, UserError
from src.runs.folder import RunFolder
from src.search.jobs import INTERRUPTED, OUTPUT, failure, run_all, train, wait_until_free
from src.system.signals import NotedSignals

SAVING = """
import pathlib, signal, sys, time
folder = pathlib.Path(next(word for word in sys.argv if word.startswith("run_dir="))[8:].strip("'"))
def save(*_):
    (folder / "saved").touch()
    sys.exit(130)
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, save)
(folder / "ready").touch()
time.sleep(60)
"""


@pytest.fixture
def saving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a process in place of a training, which saves when it is told to stop."""
    (tmp_path / "saving.py").write_text(SAVING)
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} {tmp_path}/saving.py "$@"\n')
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    return tmp_path / "run"


def test_a_signal_has_trainings_save_and_ends_the_command(saving: Path, capsys: pytest.CaptureFixture) -> None:
    said: list[str | None] = []

    def task(stop: NotedSignals) -> None:
        said.append(train(saving, [], stop))

    def interrupt() -> None:
        while not (saving / "ready").exists():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(Interrupted) as stopped:
        run_all([task, task], workers=1)
    assert stopped.value.exit_code == 130
    assert (saving / "saved").exists()
    assert said == [INTERRUPTED, INTERRUPTED]  # the second was not begun
    assert "SIGINT: stopping what runs" in capsys.readouterr().out


def test_a_task_that_fails_has_the_others_save(saving: Path) -> None:
    def fail(_: NotedSignals) -> None:
        while not (saving / "ready").exists():
            time.sleep(0.05)
        raise UserError("no space left")

    with pytest.raises(UserError, match="no space left"):
        run_all([lambda stop: print(train(saving, [], stop)), fail], workers=2)
    assert (saving / "saved").exists()


def test_a_training_that_a_killed_command_left_is_waited_for(tmp_path: Path) -> None:
    held = threading.Event()

    def hold() -> None:
        with RunFolder(tmp_path / "run"):
            held.set()
            time.sleep(0.5)

    (left := threading.Thread(target=hold)).start()
    held.wait()
    wait_until_free(tmp_path / "run", NotedSignals(""))
    assert not left.is_alive()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "checkpoints").write_text("in the way")
    with pytest.raises(UserError, match="cannot write to"):
        wait_until_free(tmp_path / "full", NotedSignals(""))


@pytest.mark.parametrize(
    ("code", "ended", "answer"),
    [
        (0, {"reason": "samples"}, None),
        (0, {}, "exit code 0 without a result"),
        (2, {}, "no such thing"),
        (3, {}, "exit code 3"),
        (2, {"reason": "diverged", "message": "the loss is nan"}, "diverged: the loss is nan"),
        (-9, {}, "killed by Killed (out of memory?)"),
    ],
)
def test_why_there_is_no_result(code: int, ended: dict[str, Any], answer: str | None, tmp_path: Path) -> None:
    with RunFolder(tmp_path) as run:
        if ended:
            run.update_manifest(ended=ended)
        (tmp_path / OUTPUT).write_text("step 5\nerror: no such thing\n\n")
        assert failure(run, code) == answer
