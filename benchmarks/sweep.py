"""python -m benchmarks.sweep [--trials 8] [--images 64000] [--rounds 3]: what a sweep costs besides its trainings.

start-up    seconds of a trial's process outside its training: Python, torch, config, data, the last pictures
between     seconds from a trial's end to the next one's beginning, for one worker
throughput  trials per minute with one and with two workers of one thread each, and their ratio over 2

All trials have the same budget; nothing is stopped early, nothing is confirmed. Medians over the rounds.
"""

import argparse
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

ROOT = Path(__file__).parent.parent
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--images", type=int, default=64_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the table here too")
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)

    rounds = []
    for _ in range(arguments.rounds):
        one, two = (sweep(arguments.trials, arguments.images, workers) for workers in (1, 2))
        per_minute = [60 * arguments.trials / found["whole"] for found in (one, two)]
        rounds.append(
            {
                "training, s": one["training"],
                "start-up, s": one["process"] - one["training"],
                "between, s": one["whole"] / arguments.trials - one["process"],
                "trials per minute, 1 worker": per_minute[0],
                "trials per minute, 2 workers": per_minute[1],
                "efficiency of 2 workers": per_minute[1] / per_minute[0] / 2,
            }
        )
        print({key: round(value, 3) for key, value in rounds[-1].items()}, file=sys.stderr)
    table = {key: round(statistics.median(found[key] for found in rounds), 3) for key in rounds[0]}
    print(json.dumps(table, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(vars(arguments) | {"json": None} | table, indent=2) + "\n")


if __name__ == "__main__":
    main()
