"""python -m benchmarks.startup: seconds until a command answers, and until the first training step. The disk is warm.

help          `python -m src.train --help`, to its end
config error  a model that does not exist, and a setting that does not exist, to the end of the command
first step    `python -m src.train model=mlp_gan`, W&B offline, until metrics.jsonl has a line: that of step 1
floors        importing Hydra, and importing PyTorch and Lightning, in Python alone: the least that such a command takes
"""

import functools
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import timing
from benchmarks.timing import Row

ROOT = Path(__file__).parent.parent
PROTOCOL = """Whole processes from the command on, taken in turn, forwards and backwards, medians over the rounds; one more
round ahead of them warms the disk. The first step is made when metrics.jsonl has a line, with W&B offline and data in place."""


def command(*words: str) -> float:
    """Seconds to the end of `python ...`, with or without an error."""
    started = time.perf_counter()
    subprocess.run([sys.executable, *words], cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True)
    return time.perf_counter() - started


def first_step(*words: str) -> float:
    """Seconds until a training has made its first step; the training is then stopped."""
    with tempfile.TemporaryDirectory() as folder:
        metrics = Path(folder, "0", "metrics.jsonl")
        started = time.perf_counter()
        training = subprocess.Popen(
            [sys.executable, "-m", "src.train", f"run_dir={metrics.parent}", *words],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        while not (metrics.is_file() and metrics.stat().st_size):
            if training.poll() is not None:
                sys.exit(f"the training ended without a step: {training.communicate()[1]}")
            time.sleep(0.005)
        seconds = time.perf_counter() - started
        training.send_signal(signal.SIGTERM)
        training.communicate()
        return seconds


def main(words: list[str] | None = None) -> None:
    parser = timing.parser(__doc__, rounds=5)
    parser.add_argument("--data", default="mnist", help="of the first training step")
    arguments = parser.parse_args(words)
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)
    train, step = ("-m", "src.train"), f"first training step, data={arguments.data}"
    ways = {
        "`--help`": functools.partial(command, *train, "--help"),
        "config error: `model=mlp_gam`": functools.partial(command, *train, "model=mlp_gam"),
        "config error: `model.lr=1`": functools.partial(command, *train, "model=mlp_gan", "model.lr=1"),
        step: functools.partial(first_step, "model=mlp_gan", f"data={arguments.data}", "logger=wandb"),
        "import hydra": functools.partial(command, "-c", "import hydra"),
        "import torch and pytorch_lightning": functools.partial(command, "-c", "import torch, pytorch_lightning"),
    }
    if arguments.rounds > 1:
        timing.alternate(ways, 1, arguments.threads)
    found = timing.alternate(ways, arguments.rounds, arguments.threads)
    rows = []
    for name in ways:
        reach = 12.0 if name == step else 1.5 if name.startswith(("`", "config")) else None
        floor = None if reach is None else "import torch and pytorch_lightning" if name == step else "import hydra"
        rows.append(Row(name, "s", statistics.median(found[name]), reach=reach))
        if floor:
            rows += timing.compare(name, "s", {name: found[name], floor: found[floor]}, ours=name)
    timing.report("startup", PROTOCOL, [row for row in rows if row.reach or row.against], arguments)


if __name__ == "__main__":
    main()
