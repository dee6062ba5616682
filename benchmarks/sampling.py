"""python -m benchmarks.sampling [--n 50000]: seconds to write samples, ours against a plain loop with torchvision's save_image.

All have the same generator (model=mlp_gan on MNIST after a few hundred updates, or --run PATH) and write to one disk:

files, npz  `python -m src.generate run=... n=... format=...`: a seed for each sample, atomic writes, marks inside each PNG,
            also a grid and a record
plain loop  batches of 128 from the generator, `torchvision.utils.save_image` for each image: benchmarks/plain_loop.py
images      the generator on the same number of latents, without files: the floor

Measured twice: as whole processes from the command to its end, and with everything imported and loaded before.
"""

import functools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from benchmarks import ours, plain_loop, timing
from src.generate import draw
from src.runs.folder import RunFolder
from src.runs.load import load_run
from src.train import train

REACH = {"plain loop": 0.3}
PROTOCOL = """Ways taken in turn, forwards and backwards, medians over the rounds, ratios by the round; one generator
(model=mlp_gan), one folder for temporary files. ours: src.generate to PNGs (with marks, grid and record) or to one compressed
npz. plain loop: batches of 128, torchvision's save_image for each image. images: the generator alone, the floor. A whole
process goes from the command to its end; in one process, everything is imported and loaded before."""


def main(words: list[str] | None = None) -> None:
    parser = timing.parser(__doc__, rounds=3)
    parser.add_argument("--n", type=int, default=50_000, help="samples of a whole process; a fifth of it in one process")
    parser.add_argument("--run", type=Path, help="a run folder of images")
    parser.add_argument("--data", default="mnist", help="to train on, where no run is given")
    parser.add_argument("--updates", type=int, default=500, help="of that training")
    arguments = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as folder:
        run = arguments.run or trained(Path(folder), arguments.data, arguments.updates)
        model = load_run(run)
        modality = RunFolder(run).experiment().modality(model.spec)
        generator, weights = model.network(), Path(folder, "generator.pt")
        torch.save(generator, weights)

        def generate(form: str, out: Path) -> None:
            command("src.generate", f"run={run}", f"n={arguments.n}", f"format={form}", f"out={out}")

        def save(form: str, out: Path) -> None:
            portions = draw(lambda *row: modality.finish(model.sample(*row)), seeds, cond=None)
            if form == "files":
                modality.save(portions, out, seeds, {"model": "0" * 64})
            else:
                modality.save_archive(torch.cat(list(portions)), out.with_suffix(".npz"), seeds, {"model": "0" * 64})

        few = max(1, arguments.n // 5)
        seeds = range(few)
        whole = {
            "files": functools.partial(generate, "files"),
            "npz": functools.partial(generate, "npz"),
            "plain loop": lambda out: command("benchmarks.plain_loop", str(weights), str(out), str(arguments.n)),
        }
        inside = {
            "files": functools.partial(save, "files"),
            "npz": functools.partial(save, "npz"),
            "plain loop": lambda out: plain_loop.draw(generator, out, few),
            "images": lambda out: model.decode(torch.randn(few, model.z_dim)),
        }
        os.environ["OMP_NUM_THREADS"] = str(arguments.threads)
        with timing.quiet():
            rows = [
                *compare(f"{arguments.n:,} samples to", ", whole process", whole, arguments),
                *compare(f"{few:,} samples to", ", in one process", inside, arguments),
            ]
    timing.report("sampling", PROTOCOL, rows, arguments)


def compare(before: str, after: str, ways: Mapping[str, Callable[[Path], Any]], arguments: Any) -> list[timing.Row]:
    measured = {name: functools.partial(seconds, way) for name, way in ways.items()}
    found = timing.alternate(measured, arguments.rounds, arguments.threads)
    rows = []
    for form in ("files", "npz"):
        others = {name: found[name] for name in found if name == form or name not in ("files", "npz")}
        rows += timing.compare(f"{before} {form}{after}", "s", others, REACH, ours=form)
    return rows


def seconds(work: Callable[[Path], Any]) -> float:
    """Seconds of one way, which writes to a new folder."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        work(Path(folder, "out"))
        return time.perf_counter() - started


def command(*words: str) -> None:
    subprocess.run([sys.executable, "-m", *words], cwd=ours.ROOT, check=True, stdout=subprocess.DEVNULL)


def trained(folder: Path, data: str, updates: int) -> Path:
    """A run folder after a short training: a PNG encoder takes longer for the noise of an untrained generator."""
    config = ours.compose("model=mlp_gan", f"data={data}", "logger=none", f"run_dir={folder}/0")
    config["callbacks"] = {}  # a run folder's config may not name classes of benchmarks
    config["stop"]["samples"] = updates * config["data"]["batch_size"]
    with timing.quiet():
        train(config)
    return folder / "0"


if __name__ == "__main__":
    main()
