"""Trainings in processes of their own: started, watched, stopped, and never two of them in one run folder."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import filelock

from src.config import command_line
from src.config.checks import differences
from src.config.errors import Interrupted, UserError
from src.parallel.place import place
from src.runs.folder import RunFolder, build_dataset
from src.runs.manifest import data_changes, software, software_changes
from src.search.space import literal
from src.system.numerics import moved
from src.system.signals import NotedSignals

POLL = 0.2  # seconds between two looks at what runs
IDLE = 2.0  # seconds until it is asked again for a further job, where there was none
PR_SET_PDEATHSIG = 1
OUTPUT = "output.txt"


class Job:
    """`python -m src.train WORDS`, in a folder that one command at a time holds.

    The process has a session of its own: a Ctrl-C reaches the command alone, which then stops it once. Where the command is
    killed, Linux sends it a SIGTERM; elsewhere it goes on, and the folder counts as held until it ends.
    """

    def __init__(self, folder: Path, words: Sequence[str] = ()) -> None:
        self.run = RunFolder(folder)
        self.words = [f"run_dir={literal(str(folder))}", *words]
        self.process: subprocess.Popen | None = None
        self.stopped = False
        self.started_at = 0.0
        self._lock = filelock.FileLock(folder / ".sweep.lock")

    def claim(self) -> bool:
        """Hold the folder; False where another command does, or a process that one left behind.

        Raises UserError where nothing can be written to it.
        """
        self.run.path.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(timeout=0)
            with self.run:
                return True
        except filelock.Timeout:
            return False
        except UserError as error:
            self._lock.release()
            if isinstance(error.__cause__, OSError):  # not held, but full or read-only
                raise
            return False

    def begin_anew(self, config: Mapping[str, Any]) -> bool:
        """Set aside what the claimed folder holds of another recipe or of other code, with which a training would not go on.

        False where another command has taken the folder meanwhile.
        """
        if not (changes := self.changes(config)):
            return True
        self.set_aside(changes)
        self._lock.release()
        return self.claim()

    def changes(self, config: Mapping[str, Any]) -> list[str]:
        """What keeps the training that the folder holds, if any, from going on as this config's."""
        return changes_of(self.run, dict(config)) if self.run.started() else []

    def set_aside(self, changes: Sequence[str]) -> None:
        print(f"{self.run.path} is begun anew, its beginning is of something else ({'; '.join(changes)})", flush=True)
        self.run.set_aside()

    def orphaned(self) -> bool:
        """Whether a folder that cannot be claimed is held by no command, but by the training that a killed one left."""
        try:
            with self._lock.acquire(timeout=0):
                return True
        except filelock.Timeout:
            return False

    def start(self) -> None:
        parent, configs = os.getpid(), command_line.config_dir()
        self.started_at = time.monotonic()
        with (self.run.path / OUTPUT).open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "src.train", *(["--config-dir", configs] if configs else []), *self.words],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=lambda: end_with(parent),
            )

    def watch(self) -> None:
        """Look at what it has come to so far."""

    def finish(self) -> None:
        """Take up its result, once it has ended."""

    def interrupted(self) -> None:
        """Note what it has cost, once it has ended before its time."""

    def ended(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def seconds(self) -> float:
        return time.monotonic() - self.started_at if self.started_at else 0.0

    def stop(self) -> None:
        """Have it save and end: once, as a second signal would end it unsaved."""
        if not self.stopped and not self.ended():
            self.stopped = True
            self.process.terminate()  # type: ignore[union-attr]

    def close(self) -> None:
        """End it, whatever it is at, and let go of the folder."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        self._lock.release()

    def failure(self) -> str | None:
        """Why an ended training has no result, in a few words; None where it has one."""
        assert self.process is not None, "it was started"
        code, ended = self.process.returncode, self.run.manifest().get("ended", {})
        if ended.get("reason") == "diverged":
            return f"diverged: {ended['message']}"
        if code < 0:
            name = signal_name(-code)
            return f"killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
        if code in (1, 2):
            lines = (self.run.path / OUTPUT).read_text(errors="replace").split("\n")
            return next((line.removeprefix("error: ") for line in reversed(lines) if line.strip()), f"exit code {code}")
        if code:
            return f"exit code {code}"
        return None if ended else "exit code 0 without a result"


def signal_name(number: int) -> str:
    """Of a real-time signal, most of which have no name, its number."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def changes_of(run: RunFolder, config: dict[str, Any]) -> list[str]:
    """What keeps a run that has begun from being this config's, here and now: empty where it can go on, or is the result."""
    try:
        changes = differences(run.config(), config)
        if not run.complete(config):
            kind = build_dataset(config).spec.kind
            changes += software_changes(run.made_with(), software(config, kind))
    except UserError as error:  # a damaged one
        return [str(error)]
    if changes or run.finished():
        return changes
    try:
        return moved(run.made_with(), config, place(config))
    except UserError:  # there is no such device here, as the training will say
        return []


def check_data(runs: Iterable[RunFolder], config: Mapping[str, Any]) -> None:
    """Raise UserError where runs that have begun were trained on other data than a config's are now."""
    before: dict[Path, dict[str, str]] = {}
    for run in runs:
        with contextlib.suppress(UserError):  # a damaged one is begun anew
            before[run.path] = run.made_with().get("data", {})
    if not any(before.values()):
        return
    dataset = build_dataset(dict(config))
    dataset.prepare()
    now = dataset.hashes()
    for path, data in before.items():
        if data and (changes := data_changes(data, now)):
            raise UserError(
                f"{path} was trained on other data ({'; '.join(changes)}), and distances to them cannot be compared: "
                "put the data back, or choose another name= for this sweep"
            )


def images_of(run: RunFolder) -> int:
    """How many images a training has shown so far, by its own record."""
    with contextlib.suppress(UserError):
        if seen := run.manifest().get("ended", {}).get("images_seen"):
            return int(seen)
    lines = run.scalars()
    return int(lines[-1]["images_seen"]) if lines else 0


def unsigned(run: RunFolder, seen: float | None) -> float:
    """Seconds for which a training went on after its command's last sign of life, as after a kill of that, by its files."""
    paths = (run.path / name for name in ("metrics.jsonl", OUTPUT))
    last = max((path.stat().st_mtime for path in paths if path.is_file()), default=0.0)
    return max(0.0, last - seen) if seen else 0.0


# Loaded here: nothing but the call itself is safe between fork and exec.
_prctl = getattr(ctypes.CDLL(None), "prctl", None) if sys.platform == "linux" else None


def end_with(parent: int) -> None:
    """In a new process: get SIGTERM when the parent dies."""
    if _prctl is not None:
        _prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it has died already
            os._exit(1)


def run_jobs(next_job: Callable[[], Job | None], workers: int, waiting: Callable[[], bool]) -> None:
    """Keep `workers` claimed jobs going until `next_job` has no further one and nothing that it is `waiting` for."""
    running: list[Job] = []
    ask_at = 0.0
    with NotedSignals("stopping what runs; the same command goes on from there") as signals:
        try:
            while signals.number is None:
                while len(running) < workers and time.monotonic() >= ask_at:
                    if (job := next_job()) is None:
                        ask_at = time.monotonic() + IDLE
                    else:
                        running.append(job)
                        job.start()
                if not running and not waiting():
                    return
                time.sleep(POLL)
                for job in list(running):
                    ended = job.ended()  # before the look: what it wrote last is seen then
                    job.watch()
                    if ended and signals.number is None:
                        job.finish()
                        job.close()
                        running.remove(job)
                        ask_at = 0.0
        finally:
            end(running)
        raise Interrupted(signals.number)


def end(jobs: Sequence[Job]) -> None:
    """Have them save and end; a second signal does not let them."""
    try:
        for job in jobs:
            job.stop()
        while not all(job.ended() for job in jobs):
            time.sleep(POLL)
        for job in jobs:
            job.interrupted()
    finally:
        for job in jobs:
            job.close()
