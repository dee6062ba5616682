"""What a person sees of a run, in a terminal and without one."""

import os
import pty
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from src.evaluation.suite import Main
from src.system.progress import about
from src.training.callbacks.progress import Progress, cores

ROOT = Path(__file__).parent.parent.parent.parent
WORDS = ["model=mlp_gan", "data=digits", "debug=tiny", "trainer.threads=1"]
NUMBERS = ("step 20", "samples/s", "left 0:00", "loss/discriminator", "loss/generator", "D/real", "D/fake", "fd_digits")


def test_plain_lines_without_a_terminal(in_process: Any, tmp_path: Path) -> None:
    answer = in_process("train", *WORDS, f"run_dir={tmp_path / 'run'}")
    assert answer.returncode == 0, answer.stderr
    (line,) = [line for line in answer.stdout.splitlines() if line.startswith("step ")]
    assert all(number in line for number in NUMBERS)
    assert "\r" not in answer.stdout
    assert "\x1b" not in answer.stdout
    assert answer.stderr == ""
    assert str(tmp_path / "run" / "metrics.json") in answer.stdout


def test_one_line_rewritten_in_a_terminal(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "src.train", *WORDS, f"run_dir={tmp_path / 'run'}"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=theirs, stderr=theirs, env={**os.environ, "OMP_NUM_THREADS": "1"})
    os.close(theirs)
    output = b""
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        output += part
    assert process.wait(timeout=100) == 0
    text = output.decode()
    assert text.count("\r\x1b[K[####################]  step 20") >= 1
    assert all(number in text for number in NUMBERS)


class Clock:
    step, samples_seen = 300, 9600

    device = torch.device("cpu")

    def scalars(self) -> dict[str, float]:
        return {"loss/generator": 0.5}


@pytest.mark.parametrize(
    ("stop_step", "minutes", "left"), [(400, None, "0:05"), (None, 2.0, "1:30"), (400, 2.0, "0:05"), (None, None, "?")]
)
def test_time_left_is_that_of_the_budget_that_ends_first(stop_step: int | None, minutes: float | None, left: str) -> None:
    class Budget:
        seconds = 30.0

    budget: Any = Budget()
    budget.minutes = minutes
    progress = Progress(None, budget, stop_step)  # type: ignore[arg-type]
    progress._start_time, progress._start_step = 100.0, 200  # 100 steps in 5 seconds
    assert progress.left(Clock(), now=105.0) == left  # type: ignore[arg-type]


def of_a_run(validate: Any = None, minutes: float | None = None, **settings: Any) -> Progress:
    budget: Any = SimpleNamespace(minutes=minutes, seconds=10.0)
    return Progress(validate or SimpleNamespace(every=100, last=None), budget, **settings)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        # From step 250 to 300 in 10 s; validations at 100, 200 ... and at the end take 2 s each, the evaluation 10 s.
        (
            {"stop_step": 1000, "measure": lambda _: (2.0, 10.0)},
            "4 min in all: 3 min of training, 32 s of validations and evaluation",
        ),
        ({"stop_step": 1000}, "3 min of training"),
        ({"stop_step": 1000, "minutes": 1.0}, "70 s of training"),
        ({"stop_step": 1000, "previews": SimpleNamespace(seconds=5.0)}, "2 min of training"),
        ({"stop_step": None}, ""),
    ],
)  # fmt: skip
def test_the_whole_run_is_estimated_by_its_first_steps(settings: dict[str, Any], text: str, capsys: Any) -> None:
    progress = of_a_run(**settings)
    progress._start_time = 90.0
    progress.estimate(Clock(), 110.0, step=250, then=100.0, cpu=0.0)  # type: ignore[arg-type]
    assert capsys.readouterr().out == (f"about {text}\n" if text else "")


def test_it_is_estimated_once_and_after_the_first_block(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    progress, model = of_a_run(stop_step=1000), Clock()
    monkeypatch.setattr(progress, "estimate", lambda model, now, step, *_: seen.extend((step, model.step)))
    progress._start_time, progress.line._shown = time.monotonic(), time.monotonic()
    for model.step in (60, 80, 100):
        progress.on_train_batch_end(None, model)  # type: ignore[arg-type]
    assert seen == [60, 80]


def test_busy_cores_are_said_once_where_it_matters(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    progress: Any = of_a_run(stop_step=1000)
    progress.check_cores(Clock(), True)  # one thread
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    progress.check_cores(Clock(), False)
    assert capsys.readouterr().out == ""
    progress.check_cores(Clock(), True)
    progress.check_cores(Clock(), True)
    assert capsys.readouterr().out == f"other programs keep the {cores()} cores busy: trainer.threads=1 may be faster\n"


@pytest.mark.parametrize(("measured_at", "text"), [(300, "fd_digits 9.8"), (200, "fd_digits 9.8 at step 200")])
def test_a_validation_of_an_earlier_step_says_so(measured_at: int, text: str, capsys: Any) -> None:
    progress = of_a_run(SimpleNamespace(last=9.8, measured_at=measured_at, main=Main("fd_digits")), stop_step=1000)
    progress.show(Clock(), 1.0)  # type: ignore[arg-type]
    assert capsys.readouterr().out.rstrip("\n").endswith(f"  {text}")


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (89, "89 s"), (91, "2 min"), (5000, "83 min"), (9000, "2 h")])
def test_about(seconds: float, text: str) -> None:
    assert about(seconds) == text
