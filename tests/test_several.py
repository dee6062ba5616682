"""Trainings by several processes, as users start and end them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from src.config.errors import UserError
from src.config.experiment import Experiment
from src.parallel import launch
from src.parallel.place import Place, place
from src.runs.folder import RunFolder
from src.train import train
from training import train_all

ROOT = Path(__file__).parent.parent
WORDS = [
    *("model=mlp_gan", "data=digits", "debug=tiny", "trainer=ddp", "devices=2", "trainer.threads=1", "trainer.accelerator=cpu"),
    *("stop.samples=6400", "checkpoint.every=20", "validation.every=1000", "evaluate=false"),
]


def begin(folder: Path, *words: str) -> subprocess.Popen:
    """The command, when its first checkpoint is there."""
    command = [sys.executable, "-m", "src.train", *WORDS, f"run_dir={folder}", *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    deadline = time.monotonic() + 200
    while not list(folder.glob("checkpoints/step-*.ckpt")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return process


def ranks_of(process: subprocess.Popen) -> list[int]:
    """Process numbers of the ranks that a launcher has started."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    words = {int(child): Path(f"/proc/{child}/cmdline").read_text() for child in children}
    return [child for child, line in words.items() if "spawn_main" in line]


def test_sigterm_saves_and_the_command_goes_on(tmp_path: Path, compose: Any) -> None:
    process = begin(tmp_path / "run")
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=100)
    assert process.returncode == 143, errors
    assert output.count("goes on from there") == 1
    assert "Traceback" not in errors
    run = RunFolder(tmp_path / "run")
    assert "ended" not in run.manifest()
    launch.launch(train_all, [compose(*WORDS, f"run_dir={path}") for path in (run.path, tmp_path / "whole")], 2)
    assert run.manifest()["final_weights"] == RunFolder(tmp_path / "whole").manifest()["final_weights"]
    assert run.scalars() == RunFolder(tmp_path / "whole").scalars()


@pytest.mark.slow
def test_a_killed_rank_ends_the_run_and_the_command_goes_on(tmp_path: Path, compose: Any) -> None:
    process = begin(tmp_path / "run")
    os.kill(ranks_of(process)[1], signal.SIGKILL)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    said = "rank 1 was ended by SIGKILL (out of memory?): repeat the command, it goes on from the last checkpoint"
    assert errors == f"error: {said}\n"
    train(compose(*WORDS, f"run_dir={tmp_path / 'run'}"))
    assert RunFolder(tmp_path / "run").finished()


@pytest.mark.slow
def test_a_multirun_with_two_devices_each(tmp_path: Path, command: Any) -> None:
    answer = command("train", "-m", "seed=0,1", *WORDS, "stop.samples=320", f"paths.runs={tmp_path}")
    assert answer.returncode == 0, answer.stderr
    assert len(list(tmp_path.glob("*/*/weights.safetensors"))) == 2


def place_of(*words: str, compose: Any) -> Place:
    config = compose("model=dcgan", *words)
    experiment = Experiment(config)
    return place(experiment.trainer, experiment.batch_size, asked=config["devices"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["devices=3"], "data.batch_size=64, .* does not divide by 3 processes: change devices="),
        (["devices=2", "trainer=auto"], "leave out devices=2, or take trainer=ddp"),
        (["devices=2", "trainer=fsdp", "trainer.accelerator=cpu"], "trainer=fsdp shards a model over GPUs"),
    ],
)
def test_what_cannot_be_is_refused(words: list[str], message: str, compose: Any) -> None:
    with pytest.raises(UserError, match=message):
        place_of(*words, compose=compose)


def test_the_launcher_says_how_many(compose: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = {"TORCHELASTIC_RUN_ID": "x", "RANK": "0", "LOCAL_WORLD_SIZE": "2", "GROUP_WORLD_SIZE": "2", "WORLD_SIZE": "4"}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    found = place_of("trainer=ddp", "devices=2", compose=compose)
    assert (found.devices, found.nodes, found.processes) == (2, 2, 4)
    with pytest.raises(UserError, match="the launcher has started 2 processes here, so say devices=2"):
        place_of("trainer=ddp", "devices=3", compose=compose)
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(UserError, match="one machine has more processes than another"):
        place_of("trainer=ddp", "devices=2", compose=compose)
