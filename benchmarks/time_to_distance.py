"""python -m benchmarks.time_to_distance [--results results/zoo]: CPU seconds until samples are as near as that.

Nothing is trained: the zoo's published runs say when their validation distance first was at or below a stated one, the least
that every run of DCGAN gets to. A run's seconds are spread evenly over its images. Distances were taken five times a run: a
time is that of the first look that is good enough, and the true one lies before it.

ours   the model that is there first, median over the seeds; it may be told the classes
dcgan  DCGAN at its defaults, which is not
"""

import statistics
from pathlib import Path

from benchmarks import timing
from benchmarks.ours import ROOT
from src.reporting.runs import Run, read_run

BASELINE = "dcgan"
REACH = {"mnist": {BASELINE: 0.3}, "fashion_mnist": {}}
PROTOCOL = """CPU seconds of training by the zoo's published runs, each seed a round, until the validation distance is at or
below the least that every run of our DCGAN gets to, as far as five looks a run can tell. ours: the model that is there first by
the median over the seeds; its name says whether it is told the classes (cdcgan, cgan_pd), which dcgan is not. Machine and
commit above are those of this reading: each run's manifest has its own."""


def seconds(run: Run, goal: float) -> float | None:
    """Of training until the first look that finds `goal`; None where none does."""
    ended = run.manifest["ended"]
    each = ended["cpu_seconds"] / ended["images_seen"]
    return next((images * each for _, (images, distance) in sorted(run.curve.items()) if distance <= goal), None)


def compare(results: Path, data: str, seeds: int) -> list[timing.Row]:
    runs = {
        folder.name.removesuffix(f"-{data}"): [read_run(folder / str(seed), folder.name) for seed in range(seeds)]
        for folder in sorted(results.glob(f"*-{data}"))
    }
    goal = max(min(distance for _, distance in run.curve.values()) for run in runs[BASELINE])
    times = {model: [seconds(run, goal) for run in found] for model, found in runs.items()}
    there = {model: [time for time in found if time is not None] for model, found in times.items() if None not in found}
    best = min(there, key=lambda model: statistics.median(there[model]))
    found = {"ours": there[best], BASELINE: there[BASELINE]}
    return timing.compare(f"{best} on {data}, to a distance of {goal:.2f}", "s", found, REACH[data])


def main(words: list[str] | None = None) -> None:
    parser = timing.parser(__doc__, rounds=5)
    parser.add_argument("--results", type=Path, default=ROOT / "results" / "zoo")
    arguments = parser.parse_args(words)
    rows = [row for data in REACH for row in compare(arguments.results, data, arguments.rounds)]
    timing.report("time_to_distance", PROTOCOL, rows, arguments)


if __name__ == "__main__":
    main()
