"""What a person sees of a run, in a terminal and without one."""

import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from src.training.callbacks.progress import Progress

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
