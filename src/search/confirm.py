"""Train a sweep's winner and its base recipe on seeds that the search did not use, and measure them on the test split."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from src.config.errors import UserError
from src.config.experiment import Experiment
from src.runs.folder import RunFolder
from src.search.jobs import Stop, run_all, train
from src.search.space import literal

Compose = Callable[[Sequence[str]], dict[str, Any]]


def words_of(words: Sequence[str], folder: Path, seed: int) -> list[str]:
    """Command-line words for a recipe's run with this seed. A diverged run counts as a result and does not stop the others."""
    return [*words, f"paths.runs={literal(str(folder / 'confirm'))}", f"seed={seed}", "evaluate=true", "on_divergence=record"]


def confirm(recipes: Mapping[str, Sequence[str]], seeds: Sequence[int], folder: Path, workers: int, compose: Compose) -> None:
    """Train and measure the missing runs of each recipe on each seed, in <folder>/confirm/<its name>-<data>-<hash>/<seed>.

    recipes: display name -> words of `python -m src.train`. compose: such words -> plain config. UserError if a run fails.
    """
    failures: list[str] = []

    def run(name: str, words: list[str], config: dict[str, Any], stop: Stop) -> None:
        run = RunFolder(Experiment(config).path)
        if stop.is_set() or run.complete(config):
            return
        reason = train(run.path, words, stop)
        if reason is not None and not stop.is_set() and not run.complete(config):
            failures.append(f"{run.path}: {reason}")
        result = run.result() or {}
        main = result["main"]["name"] if result else ""  # a training that diverged has no result
        score = f"{main} {result['metrics'][main]:.4g}" if main else reason
        print(f"{name}  seed {config['seed']}  {score}", flush=True)

    tasks = []
    for seed in seeds:
        for name, recipe in recipes.items():
            words = words_of(recipe, folder, seed)
            tasks.append(partial(run, name, words, compose(words)))
    run_all(tasks, workers)
    if failures:
        raise UserError(f"{len(failures)} runs on fresh seeds failed, repeat the command: {failures[0]}")


def confirmed(recipes: Sequence[Sequence[str]], folder: Path, compose: Compose) -> list[Path]:
    """Folders of these recipes' runs on fresh seeds; empty until each recipe has at least one."""
    parents = [Experiment(compose(words_of(words, folder, 0))).path.parent for words in recipes]
    found = [[path.parent for path in parent.glob("*/manifest.json") if path.parent.name.isdecimal()] for parent in parents]
    return sorted(path for paths in found for path in paths) if all(found) else []
