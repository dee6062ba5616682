"""python -m benchmarks.ddp [--models dcgan] [--updates 100]: two processes of one thread against one process of two.

The same training of the same global batch on two cores, `src.fit.fit` with everything on, milliseconds per generator update:

ours      two processes with one thread each, which average their gradients (and batch norms' statistics)
own norm  the same with batch norm over each process's part of the batch
one       one process with two threads

An efficiency of 0.9 is a ratio of 1.11 to `one`. `--threads` does not count here.
"""

import functools

from benchmarks import ours, timing
from src.processes import Place

REACH = {"one": 1.11}  # 1 / 0.9
PROTOCOL = """Ways taken in turn, forwards and backwards, medians over the rounds, ratios by the round; src.fit.fit with logs
and progress, W&B offline; the start of the second process and the first updates left out; the same global batch. ours: two
processes with one thread each. own norm: the same, batch norm over each process's part. one: one process with two threads."""
WAYS = {
    "ours": (Place(accelerator="cpu", devices=2, strategy="ddp"), 1),
    "own norm": (Place(accelerator="cpu", devices=2, strategy="ddp", sync_batchnorm=False), 1),
    "one": (Place(accelerator="cpu"), 2),
}


def main(words: list[str] | None = None) -> None:
    parser = timing.parser(__doc__, rounds=3)
    parser.add_argument("--models", nargs="+", default=["r3gan", "sngan", "dcgan", "mlp_gan"])
    parser.add_argument("--updates", type=int, default=60)
    arguments = parser.parse_args(words)
    rows = []
    for model in arguments.models:

        def measure(place: Place, threads: int, model: str = model) -> float:
            config = ours.compose(f"model={model}", f"trainer.threads={threads}")
            return ours.milliseconds(config, arguments.updates, warmup=10, place=place)

        ways = {name: functools.partial(measure, *way) for name, way in WAYS.items()}
        found = timing.alternate(ways, arguments.rounds, arguments.threads)
        rows += timing.compare(f"`model={model}`, one update of two processes", "ms", found, REACH)
    timing.report("ddp", PROTOCOL, rows, arguments)


if __name__ == "__main__":
    main()
