"""python -m benchmarks.budget [--recipes experiment=families_flow ...] [--seconds 210]: images that a CPU budget allows.

Each recipe trains in turn, forwards and backwards, on one thread, by `src.train.train` with all its parts. The median of its
images per CPU second, without start-up, times the budget is its `stop.samples`. A study's budgets come from one sitting: CPU
seconds of two machines, or of two days, are not the same.
"""

import argparse
import statistics
import tempfile

from benchmarks import ours, timing
from src.train import train

RECIPES = [f"experiment=families_{name}" for name in ("cdcgan", "vae", "autoregressive", "flow", "diffusion")]


def images_per_second(words: list[str], seconds: float) -> float:
    """Training images per CPU second, from the end of the first block of updates on."""
    config = ours.compose(*words)
    config["callbacks"] = {"watch": {"_target_": "benchmarks.ours.CPUWatch", "seconds": seconds}}
    with tempfile.TemporaryDirectory() as folder, timing.quiet():
        train({**config, "run_dir": f"{folder}/run/0"})
    (first, start), (last, end) = ours.CPUWatch.marks[0], ours.CPUWatch.marks[-1]
    return (last - first) / (end - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipes", nargs="+", default=RECIPES)
    parser.add_argument("--seconds", type=float, default=210, help="the budget")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--measure", type=float, default=15, help="CPU seconds of each measurement")
    given = parser.parse_args()
    ways = {
        recipe: (lambda recipe=recipe: images_per_second([*recipe.split(), "trainer.threads=1"], given.measure))
        for recipe in given.recipes
    }
    for recipe, rates in timing.alternate(ways, given.rounds, threads=1).items():
        rate = statistics.median(rates)
        spread = f"{min(rates):,.0f} to {max(rates):,.0f}"
        print(f"{recipe}: {rate:,.0f} images per CPU second ({spread}), {given.seconds * rate:,.0f} images")


if __name__ == "__main__":
    main()
