"""Run trainings as child processes, several at a time; a signal to the command makes them save and end."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path

from src.config import command_line
from src.config.errors import Interrupted, UserError
from src.runs.folder import RunFolder
from src.search.space import literal
from src.system.signals import NotedSignals

POLL = 0.2  # seconds between two checks of a training
OUTPUT = "output.txt"
INTERRUPTED = "interrupted"


class Stop(threading.Event):
    """When set, trainings get the signal `number`, save and end. at_once: they are killed instead."""

    number: int = signal.SIGTERM
    at_once = False


def run_all(tasks: Sequence[Callable[[Stop], None]], workers: int) -> None:
    """Call each task with a Stop in a thread, `workers` at a time. Raises a task's error, or Interrupted after a signal."""
    stop = Stop()
    with NotedSignals("stopping what runs; the same command goes on from there") as signals:
        with ThreadPoolExecutor(workers) as pool:
            futures = [pool.submit(task, stop) for task in tasks]
            try:
                pending = set(futures)
                while pending:
                    done, pending = wait(pending, POLL, FIRST_EXCEPTION)
                    if signals.number is not None or any(future.exception() for future in done):
                        stop.number = signals.number or stop.number
                        stop.set()
            except KeyboardInterrupt:  # a second signal
                stop.at_once = True
                stop.set()
                raise
        for future in futures:
            future.result()
    if signals.number is not None:
        raise Interrupted(signals.number)


def train(folder: Path, words: Sequence[str], stop: Stop, watch: Callable[[], bool] = lambda: True) -> str | None:
    """Run `python -m src.train WORDS` in this folder; it resumes or, after a change of code or recipe, restarts.

    watch: called while it trains; when it returns False, the training saves and ends. Returns why there is no result, None if
    there is one.
    """
    wait_until_free(folder, stop)
    configs = command_line.config_dir()
    command = [sys.executable, "-m", "src.train", *(["--config-dir", configs] if configs else []), *words]
    if stop.is_set():
        return INTERRUPTED
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / OUTPUT).open("ab") as output:
        process = subprocess.Popen(
            [*command, f"run_dir={literal(str(folder))}", "on_change=restart"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    told = False
    try:
        while process.poll() is None:
            if stop.at_once:
                process.kill()
            elif not told and (stop.is_set() or not watch()):
                told = True  # only once: a second signal would end it without saving
                process.send_signal(stop.number)
            time.sleep(POLL)
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()
    if process.returncode in (128 + signal.SIGINT, -signal.SIGINT):  # a terminal's Ctrl-C may reach it before `stop` is set
        stop.wait(5 * POLL)
    reason = failure(RunFolder(folder), process.returncode)
    return INTERRUPTED if reason and stop.is_set() else reason


def wait_until_free(folder: Path, stop: Stop) -> None:
    """Wait for a training that a killed command left running in this folder; UserError if the folder is not writable."""
    while not stop.is_set():
        try:
            with RunFolder(folder):
                return
        except UserError as error:
            if isinstance(error.__cause__, OSError):
                raise
        stop.wait(POLL)


def failure(run: RunFolder, code: int) -> str | None:
    """Why an ended training has no result, in a few words; None if it has one."""
    ended = run.manifest().get("ended", {})
    if ended.get("reason") == "diverged":
        return f"diverged: {ended['message']}"
    if code < 0:
        return f"killed by {signal.strsignal(-code) or f'signal {-code}'}" + (" (out of memory?)" if -code == 9 else "")
    if code in (1, 2):
        lines = [line for line in (run.path / OUTPUT).read_text(errors="replace").splitlines() if line.strip()]
        return " ".join(lines[-1].removeprefix("error: ").split()) if lines else f"exit code {code}"
    if code:
        return f"exit code {code}"
    return None if ended else "exit code 0 without a result"
