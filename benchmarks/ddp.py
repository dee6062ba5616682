"""python -m benchmarks.ddp [--models dcgan] [--seconds 5]: two processes of one thread against one process of two threads.

The same training of the same global batch on two cores, `fit` with everything on, milliseconds per generator update:

ours      two processes with one thread each, which average their gradients (and batch norms' statistics)
own norm  the same with batch norm over each process's part of the batch
one       one process with two threads
halves    one process with one thread and half the batch, beside another that does the same without a word to it: the floor

An efficiency of 0.9 is a ratio of 1.11 to `one`. `--threads` does not count here.
"""

import contextlib
import functools
import multiprocessing
from collections.abc import Iterator
from multiprocessing.synchronize import Event
from typing import Any

from benchmarks import ours, timing
from src.config.errors import Interrupted
from src.parallel.place import Place

REACH = {"one": 1.11}  # 1 / 0.9
PROTOCOL = """Ways taken in turn, forwards and backwards, medians over the rounds, ratios by the round; `fit` with logs
and progress, W&B offline; the start of the second process and the first updates left out; the same global batch. ours: two
processes with one thread each. own norm: the same, batch norm over each process's part. one: one process with two threads.
halves: one process with one thread and half the batch, beside another that does the same and has nothing to tell it: the
floor."""
ONE, TWO = Place(accelerator="cpu"), Place(accelerator="cpu", devices=2, strategy="ddp")
OWN = Place(accelerator="cpu", devices=2, strategy="ddp", sync_batchnorm=False)
WARMUP = 10
LEAST = 64  # updates: two blocks, between which the processes have more to tell each other


def config(model: str, threads: int, *words: str) -> dict[str, Any]:
    return ours.compose(f"model={model}", f"trainer.threads={threads}", *words)


def halves(model: str, updates: int) -> float:
    batch = f"data.batch_size={config(model, 1)['data']['batch_size'] // 2}"
    with beside(config(model, 1, batch, "logger.mode=disabled")):  # W&B takes a run of one name once
        return ours.milliseconds(config(model, 1, batch), updates, WARMUP)


@contextlib.contextmanager
def beside(training: dict[str, Any]) -> Iterator[None]:
    """While another process is training."""
    context = multiprocessing.get_context("spawn")
    running = context.Event()
    other = context.Process(target=train, args=(training, running))
    other.start()
    try:
        if not running.wait(timeout=120):
            raise RuntimeError("the training beside has not begun")
        yield
    finally:
        other.terminate()
        other.join()


def train(training: dict[str, Any], running: Event) -> None:
    """Until a signal comes."""
    with contextlib.suppress(Interrupted):
        ours.milliseconds(training, updates=10**6, warmup=0, watch=running.set)


def main(words: list[str] | None = None) -> None:
    parser = timing.parser(__doc__, rounds=3)
    parser.add_argument("--models", nargs="+", default=["r3gan", "sngan", "dcgan", "mlp_gan"])
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement, about, and `LEAST` updates or more")
    arguments = parser.parse_args(words)
    rows = []
    for model in arguments.models:

        def measure(place: Place, threads: int, updates: int, model: str = model) -> float:
            return ours.milliseconds(config(model, threads), updates, WARMUP, place=place)

        updates = max(LEAST, round(arguments.seconds * 1e3 / measure(ONE, 2, LEAST)))

        ways = {
            "ours": functools.partial(measure, TWO, 1, updates),
            "own norm": functools.partial(measure, OWN, 1, updates),
            "one": functools.partial(measure, ONE, 2, updates),
            "halves": functools.partial(halves, model, updates),
        }
        found = timing.alternate(ways, arguments.rounds, arguments.threads)
        rows += timing.compare(f"`model={model}`, one update of two processes", "ms", found, REACH)
    timing.report("ddp", PROTOCOL, rows, arguments)


if __name__ == "__main__":
    main()
