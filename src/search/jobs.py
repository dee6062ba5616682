"""Run trainings as child processes, several at a time; a signal to the command makes them save and end."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from src.config import command_line
from src.config.errors import Interrupted, UserError
from src.runs.folder import RunFolder
from src.search.space import literal
from src.system.signals import NotedSignals

POLL = 0.2  # seconds between two checks of a training
OUTPUT = "output.txt"
INTERRUPTED = "interrupted"


def run_all(tasks: Sequence[Callable[[NotedSignals], None]], workers: int) -> None:
    """Call each task in a thread, `workers` at a time. Raises a task's error, or Interrupted after a signal.

    Tasks get the signals: once there is one, trainings get it too, and no new ones start. A task's error counts as SIGTERM.
    """
    stop = NotedSignals("stopping what runs; the same command goes on from there")
    with stop, ThreadPoolExecutor(workers) as pool:
        futures = [pool.submit(task, stop) for task in tasks]
        try:
            for future in as_completed(futures):
                future.result()
        except KeyboardInterrupt:  # a second signal
            stop.number = signal.SIGKILL
            raise
        except BaseException:
            stop.number = stop.number or signal.SIGTERM
            raise
    if stop.number is not None:
        raise Interrupted(stop.number)


def train(folder: Path, words: Sequence[str], stop: NotedSignals, watch: Callable[[], bool] = lambda: True) -> str | None:
    """Run `python -m src.train WORDS` in this folder; it resumes or, after a change of code or recipe, restarts.

    watch: called while it trains; when it returns False, the training saves and ends. Returns why there is no result, None if
    there is one.
    """
    wait_until_free(folder, stop)
    if stop.number is not None:
        return INTERRUPTED
    configs = command_line.config_dir()
    command = [sys.executable, "-m", "src.train", *(["--config-dir", configs] if configs else []), *words]
    command += [f"run_dir={literal(str(folder))}", "on_change=restart"]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / OUTPUT).open("ab") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
    sent = None
    try:
        while process.poll() is None:
            wanted = stop.number or (None if watch() else signal.SIGTERM)
            if wanted is not None and wanted != sent:  # the same signal only once: a second one ends it without saving
                process.send_signal(wanted)
                sent = wanted
            time.sleep(POLL)
    except BaseException:  # of `watch`
        process.terminate()
        process.wait()
        raise
    if process.returncode in (128 + signal.SIGINT, -signal.SIGINT):
        time.sleep(5 * POLL)  # a terminal's Ctrl-C may reach it before this command
    reason = failure(RunFolder(folder), process.returncode)
    return INTERRUPTED if reason and stop.number is not None else reason


def wait_until_free(folder: Path, stop: NotedSignals) -> None:
    """Wait for a training that a killed command left running in this folder; UserError if the folder is not writable."""
    while stop.number is None:
        try:
            with RunFolder(folder):
                return
        except UserError as error:
            if error.__cause__:  # of the disk
                raise
        time.sleep(POLL)


def failure(run: RunFolder, code: int) -> str | None:
    """Why an ended training has no result, in a few words; None if it has one."""
    ended = run.manifest().get("ended", {})
    if ended.get("reason") == "diverged":
        return f"diverged: {ended['message']}"
    if code < 0:
        return f"killed by {signal.strsignal(-code)}" + (" (out of memory?)" if -code == signal.SIGKILL else "")
    if code in (1, 2):
        lines = [line for line in (run.path / OUTPUT).read_text(errors="replace").splitlines() if line.strip()]
        return " ".join(lines[-1].removeprefix("error: ").split()) if lines else f"exit code {code}"
    if code:
        return f"exit code {code}"
    return None if ended else "exit code 0 without a result"
