"""python -m benchmarks.ddp [--models dcgan] [--updates 300] [--rounds 5]: two processes of one thread, one of two.

The same training of the same global batch on two cores, `src.fit.fit` with everything on, in turn; medians over the rounds:

one        milliseconds per generator update of one process with two threads
two        of two processes with one thread each, which average their gradients (the start of the second is not counted)
own norm   of two processes, batch norm over each process's part of the batch
efficiency one / two
"""

import argparse
import contextlib
import io
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import hydra

from src.config import plain
from src.fit import fit
from src.processes import Place, Team
from src.run import RunFolder, build_dataset

CONF = str(Path(__file__).parent.parent / "conf")
WAYS = {
    "one": (Place(accelerator="cpu"), 2),
    "two": (Place(accelerator="cpu", devices=2, strategy="ddp"), 1),
    "own norm": (Place(accelerator="cpu", devices=2, strategy="ddp", sync_batchnorm=False), 1),
}


def compose(model: str, threads: int) -> dict[str, Any]:
    with hydra.initialize_config_dir(CONF, version_base="1.3"):
        config = plain(hydra.compose("train", [f"model={model}", f"trainer.threads={threads}", "logger.mode=disabled"]))
    # What happens a few times in a run, however long, is not part of a step.
    config["validation"]["every"] = config["checkpoint"]["every"] = 10**9
    config["samples"]["per_decade"] = 0
    return config


def milliseconds(model: str, updates: int, place: Place, threads: int) -> float:
    """Per update, from the first batch to the last."""
    config = compose(model, threads)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        run = RunFolder(Path(folder) / "run" / "0")
        with run, Team(place) as team:
            fit(config, run, build_dataset(config), updates, "images", team)
            return run.manifest()["ended"]["seconds"] / updates * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["dcgan", "r3gan", "mlp_gan"])
    parser.add_argument("--updates", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the table here too")
    arguments = parser.parse_args()

    table: dict[str, Any] = {"updates": arguments.updates, "rounds": arguments.rounds}
    for model in arguments.models:
        times: dict[str, list[float]] = {name: [] for name in WAYS}
        for _ in range(arguments.rounds):
            for name, (place, threads) in WAYS.items():
                times[name].append(milliseconds(model, arguments.updates, place, threads))
            print(model, {name: round(values[-1], 2) for name, values in times.items()}, file=sys.stderr)
        row = {name: round(statistics.median(values), 2) for name, values in times.items()}
        pairs = zip(times["one"], times["two"], strict=True)
        table[model] = row | {"efficiency": round(statistics.median(one / two for one, two in pairs), 3)}
        print(model, table[model])
    if arguments.json:
        arguments.json.write_text(json.dumps(table, indent=2) + "\n")


if __name__ == "__main__":
    main()
