"""Real processes, started in all three ways, that return, fail and are stopped. ranks.py has what they do."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from ranks import fault, fit
from starting import KNOWN, RANKS, ends, group_alive, kill_all, srun, start
from tiny_fit import fitted

from src.parallel import launch


@pytest.fixture(autouse=True)
def _none_left() -> Iterator[None]:
    yield
    kill_all()


def test_the_environment_tells_the_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    def found() -> tuple[bool | int, ...]:
        return (
            launch.launched(),
            launch.rank(),
            launch.world_size(),
            launch.local_rank(),
            launch.local_world_size(),
            launch.nodes(),
        )

    for name in list(os.environ):
        if name.startswith(KNOWN):
            monkeypatch.delenv(name)
    assert found() == (False, 0, 1, 0, 1, 1)
    step = srun(3, 4, 1) | {"SLURM_LOCALID": "1", "SLURM_NTASKS_PER_NODE": "2", "SLURM_NNODES": "2"}
    for name, value in step.items():
        monkeypatch.setenv(name, value)
    assert found() == (True, 3, 4, 1, 2, 2)
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "1")  # the shell of salloc, in a job of 4 tasks
    assert found() == (False, 0, 1, 0, 1, 1)
    monkeypatch.delenv("SLURM_STEP_NUM_TASKS")
    monkeypatch.delenv("SLURM_STEP_ID")  # a batch script
    assert found() == (False, 0, 1, 0, 1, 1)
    ranks = {"RANK": "5", "WORLD_SIZE": "6", "LOCAL_RANK": "2", "LOCAL_WORLD_SIZE": "3", "GROUP_WORLD_SIZE": "2"}
    for name, value in ranks.items():
        monkeypatch.setenv(name, value)
    assert not launch.launched()  # some other program's
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    assert found() == (True, 5, 6, 2, 3, 2)


def test_lightning_fits_the_same_in_two_ranks(tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    launch.launch(fit, str(tmp_path), 2)
    assert "error" not in capfd.readouterr().err
    ranks = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    for name, weight in fitted(20).state_dict().items():
        assert torch.equal(ranks[0][name], ranks[1][name])
        torch.testing.assert_close(ranks[0][name], weight, rtol=0, atol=1e-12)


@pytest.mark.slow  # test_torchrun_joins: another error that all ranks agree on
def test_a_user_error_is_printed_once(tmp_path: Path) -> None:
    assert ends(start(RANKS, "launch", "user_error", tmp_path), 2) == "error: no room left\n"


def test_a_fault_of_a_rank_is_printed_once(tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as end:
        launch.launch(fault, str(tmp_path), 2)
    assert end.value.code == 1
    printed = capfd.readouterr().err
    assert printed.startswith("Traceback")
    assert printed.endswith("ZeroDivisionError\n")
    assert printed.count("Traceback") == 1


def test_a_killed_rank_ends_all(tmp_path: Path) -> None:
    killed = start(RANKS, "launch", "killed", tmp_path)
    assert ends(killed, 2) == (
        "error: rank 1 was ended by SIGKILL (out of memory?): repeat the command, it goes on from the last checkpoint\n"
    )
    while group_alive(killed):
        assert time.time() - (tmp_path / "killed").stat().st_mtime < 60
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("number", "everyone"),
    [pytest.param(signal.SIGTERM, False, marks=pytest.mark.slow), (signal.SIGINT, True)],  # tests/test_several.py has SIGTERM
)
def test_a_signal_lets_all_ranks_save(number: signal.Signals, everyone: bool, tmp_path: Path) -> None:
    """SIGTERM to the launcher alone; Ctrl-C comes to the ranks from the terminal and from the launcher."""
    process = start(RANKS, "launch", "fit_until_signal", tmp_path)
    while len(list(tmp_path.glob("trains-*"))) < 2:
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    (os.killpg if everyone else os.kill)(process.pid, number)
    assert "Traceback" not in ends(process, 128 + number)
    assert len(list(tmp_path.glob("saved-*"))) == 2


def test_torchrun_joins(tmp_path: Path) -> None:
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
    printed = ends(start(*torchrun, RANKS, "rank", "other_config", tmp_path), 1)
    assert printed.count("error: rank 1 has another config than rank 0: start all ranks with the same\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["joined-0-0-2-1", "joined-1-1-2-1"]


def test_a_rank_that_never_comes_is_named(tmp_path: Path) -> None:
    job = 10_000 + os.getpid() % 5000
    first, second = (
        start(RANKS, "rank", "alone_of_two", tmp_path, environment=srun(task, 2, job + task)) for task in (0, 1)
    )  # different jobs have different ports
    line = "error: rank {} of 2 did not join within 3 s: see what it printed, and repeat the command\n"
    assert ends(first, 2) == line.format(1)
    assert ends(second, 2) == line.format(0)
