"""Processes of the tests, started as torchrun, srun and `launch` do."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
RANKS = str(Path(__file__).parent / "ranks.py")
KNOWN = ("RANK", "WORLD_SIZE", "LOCAL_", "GROUP_", "MASTER_", "SLURM_", "TORCHELASTIC_")
STARTED: list[subprocess.Popen] = []


def start(*words: Any, environment: dict[str, str] | None = None) -> subprocess.Popen:
    """python `words`, in a process group of its own as a terminal makes it."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(KNOWN)}
    STARTED.append(
        subprocess.Popen(
            [sys.executable, *map(str, words)],
            env={**clean, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
    )
    return STARTED[-1]


def srun(task: int, tasks: int, job: int) -> dict[str, str]:
    """What srun sets for one of the tasks on one node; and commands, before they import torch."""
    return {
        "TORCH_CPP_LOG_LEVEL": "FATAL",
        "SLURM_JOB_ID": str(job),
        "SLURM_STEP_ID": "0",
        "SLURM_STEP_NUM_TASKS": str(tasks),
        "SLURM_NTASKS": str(tasks),
        "SLURM_NTASKS_PER_NODE": str(tasks),
        "SLURM_NNODES": "1",
        "SLURM_NODELIST": "127.0.0.1",
        "SLURM_PROCID": str(task),
        "SLURM_LOCALID": str(task),
        "SLURM_NODEID": "0",
    }


def ends(process: subprocess.Popen, code: int) -> str:
    """What it has printed to stderr when it has ended with this code."""
    _, errors = process.communicate(timeout=240)
    assert process.returncode == code, errors
    return errors


def group_alive(process: subprocess.Popen) -> bool:
    try:
        os.killpg(process.pid, 0)
    except ProcessLookupError:
        return False
    return True


def kill_all() -> None:
    while STARTED:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(STARTED.pop().pid, signal.SIGKILL)
