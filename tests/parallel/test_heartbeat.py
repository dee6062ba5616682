"""Processes of several machines, one of which is gone: killed, or stopped, so that its connections stay as they are."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
import torch.distributed as dist

ROOT = Path(__file__).parent.parent.parent
WORKER = """
import os, sys
import src.parallel.heartbeat as heartbeat
from src.config.errors import UserError
from src.parallel.place import Place
from src.parallel.processes import Team, follow, join

WORK = '''
import time, torch, torch.distributed as dist
print("at work", flush=True)
for _ in range({}):
    dist.all_reduce(torch.ones(1))
    time.sleep(0.1)
'''.format(sys.argv[1])
heartbeat.EVERY, heartbeat.LOST = 0.2, 10
try:
    if os.environ["RANK"] == "1":
        follow(join)
    else:
        with Team(Place(accelerator="cpu", nodes=2, strategy="ddp", external=True)) as team:
            team.order(exec, WORK)
            exec(WORK)
except UserError as error:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(2)
print("done", flush=True)
"""
REMEDY = "(its own output may say why): repeat the commands of all machines, the run goes on"
AGENT = "import subprocess, sys; subprocess.run([sys.executable, '-c', *sys.argv[1:]])"
Start = Callable[..., subprocess.Popen]


@pytest.fixture
def store() -> dist.TCPStore:
    """torchrun's, on the first machine."""
    return dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)


@pytest.fixture
def start(store: dist.TCPStore) -> Iterator[Start]:
    """Begin the process of some rank, of two."""
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(store.port), "LOCAL_WORLD_SIZE": "1", "WORLD_SIZE": "2"}
    where |= {"TORCHELASTIC_RUN_ID": "x", "TORCHELASTIC_USE_AGENT_STORE": "True"}
    begun = []

    def begin(rank: int, turns: int = 10_000, agent: bool = False) -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, "-c", *([AGENT] if agent else []), WORKER, str(turns)],
            env={**os.environ, **where, "RANK": str(rank), "OMP_NUM_THREADS": "1"},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        begun.append(process)
        return process

    yield begin
    for process in begun:
        process.kill()
        process.communicate()


def come(store: dist.TCPStore, rank: int) -> None:
    """Wait until that process has said that it is there."""
    store.wait([f"here/{rank}"], timedelta(seconds=60))


def says(process: subprocess.Popen, word: str) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == word + "\n"


@pytest.mark.parametrize("end", [signal.SIGSTOP, signal.SIGKILL])
@pytest.mark.parametrize("which", [0, 1])
def test_one_that_is_heard_no_longer_ends_the_other(which: int, end: int, start: Start) -> None:
    both = start(0), start(1)
    for process in both:
        says(process, "at work")
    both[which].send_signal(end)
    other = both[1 - which]
    assert other.communicate(timeout=30)[1].endswith(f"error: process {which} of 2 is not heard any more {REMEDY}\n")
    assert other.returncode == 2


def test_none_goes_on_without_its_torchrun(start: Start) -> None:
    first, agent = start(0), start(1, agent=True)
    says(first, "at work")
    (second,) = psutil.Process(agent.pid).children()
    agent.kill()
    second.wait(timeout=30)
    assert f"error: process 1 of 2 is not heard any more {REMEDY}" in first.communicate(timeout=30)[1]


def test_one_that_has_come_and_died_is_not_waited_for(start: Start, store: dist.TCPStore) -> None:
    """While the first was preparing its data."""
    second = start(1)
    come(store, 1)
    second.kill()
    first = start(0)
    assert f"error: process 1 of 2 is not heard any more {REMEDY}" in first.communicate(timeout=30)[1]
    assert first.returncode == 2


def test_nobody_is_missed_before_having_come_nor_after_leaving(start: Start, store: dist.TCPStore) -> None:
    first = start(0, turns=40)
    come(store, 0)
    time.sleep(3)
    second = start(1, turns=40)
    for process in (first, second):
        output, errors = process.communicate(timeout=60)
        assert output == "at work\ndone\n"
        assert (process.returncode, errors) == (0, "")
