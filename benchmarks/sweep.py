"""python -m benchmarks.sweep [--trials 8] [--images 64000]: what a sweep costs besides its trainings.

In seconds: a trial's process outside its training (Python, torch, config, data, the last pictures); from a trial's end to the
next one's beginning, for one worker; and the whole sweep over its trials, with one and with two workers of one thread each.
All trials have the same budget; nothing is stopped early, nothing is confirmed.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import optuna
import yaml

from benchmarks import timing

ROOT = Path(__file__).parent.parent
PROTOCOL = """One and two workers in turn, medians over the rounds, ratios by the round; model=mlp_gan on data=digits, random
search, equal budgets, no pruning and no confirmation. Two workers that lose nothing have a ratio of 0.5."""
BASE = ["model=mlp_gan", "data=digits", "trainer.threads=1", "logger.mode=disabled", "samples.per_decade=0"]


def sweep(trials: int, images: int, workers: int) -> dict[str, float]:
    """Seconds of one whole sweep, and of its trials' processes and trainings on the mean."""
    with tempfile.TemporaryDirectory() as folder:
        space = {"model.g_optimizer.lr": {"type": "float", "low": 1e-3, "high": 4e-3}}
        config = {"name": "benchmark", "base": BASE, "stop": {"images": images}, "space": space, "sampler": "random"}
        file = Path(folder, "conf", "sweep", "benchmark.yaml")
        file.parent.mkdir(parents=True)
        file.write_text("# @package _global_\n" + yaml.safe_dump(config))
        words = [f"trials={trials}", f"workers={workers}", "confirm=0", f"paths.runs={folder}/runs"]
        started = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "src.sweep", "--config-dir", str(file.parent.parent), "sweep=benchmark", *words],
            cwd=ROOT,
            check=True,
            stdout=subprocess.DEVNULL,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        whole = time.perf_counter() - started
        runs = Path(folder, "runs", "sweeps", "benchmark")
        study = optuna.load_study(study_name="benchmark", storage=f"sqlite:///{runs}/study.db")
        assert len(study.trials) == trials, "every trial is there"
        process = statistics.fmean(trial.user_attrs["seconds"] for trial in study.trials)
        manifests = [json.loads(path.read_text()) for path in runs.glob("*/manifest.json")]
        training = statistics.fmean(manifest["ended"]["seconds"] for manifest in manifests)
    return {"whole": whole, "process": process, "training": training}


def main(words: list[str] | None = None) -> None:
    parser = timing.parser(__doc__, rounds=3)
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--images", type=int, default=64_000)
    arguments = parser.parse_args(words)
    optuna.logging.set_verbosity(optuna.logging.WARNING)

    parts: list[dict[str, float]] = []

    def one_worker() -> float:
        parts.append(sweep(arguments.trials, arguments.images, workers=1))
        return parts[-1]["whole"] / arguments.trials

    def two_workers() -> float:
        return sweep(arguments.trials, arguments.images, workers=2)["whole"] / arguments.trials

    found = timing.alternate({"ours": two_workers, "one worker": one_worker}, arguments.rounds, arguments.threads)
    start_up = statistics.median(part["process"] - part["training"] for part in parts)
    between = statistics.median(part["whole"] / arguments.trials - part["process"] for part in parts)
    rows = [
        timing.Row("a trial's process outside its training", "s", start_up),
        timing.Row("between two trials of one worker", "s", between),
        *timing.compare("a trial's share of the sweep, two workers", "s", found),
    ]
    timing.report("sweep", PROTOCOL, rows, arguments)


if __name__ == "__main__":
    main()
