"""What follows the trials: the winner and the base recipe trained on seeds that no trial had, and the page."""

import shlex
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from src.config import command_line
from src.config.checks import entries
from src.config.errors import UserError
from src.config.experiment import Experiment
from src.reporting.runs import find_runs
from src.reporting.tables import make_tables
from src.runs.folder import RunFolder
from src.search.jobs import run_all, train
from src.search.space import literal, words
from src.search.study import winner
from src.search.trials import Trials
from src.system.files import write_atomic
from src.system.signals import NotedSignals


def recipes(trials: Trials, base: Mapping[str, Any]) -> dict[str, list[str]]:
    """Words of `python -m src.train` for the base recipe ("base") and for the winner ("trial_3"); empty without a winner."""
    best = winner(trials.study)
    if best is None:
        return {}
    label = f"trial_{best[0]}"
    name = literal(f"{base['name']}_{label}")
    return {"base": trials.shared, label: [*trials.shared, *words(trials.space, best[1].params), f"name={name}"]}


def fresh(recipe: Sequence[str], folder: Path, seed: int) -> list[str]:
    """Words for a recipe's run on this seed. A diverged run counts as a result and does not stop the others."""
    return [*recipe, f"paths.runs={literal(str(folder / 'confirm'))}", f"seed={seed}", "evaluate=true", "on_divergence=record"]


def confirm(trials: Trials, base: Mapping[str, Any], count: int, workers: int) -> None:
    """Train and measure winner and base recipe on `count` seeds, in <folder>/confirm/<name>-<data>-<hash>/<seed>.

    base: config of the base recipe. Complete runs are kept. UserError if no trial is complete, or if a run fails.
    """
    best = winner(trials.study)
    if best is None:
        raise UserError(f"no trial of {trials.study.study_name} is complete: see {trials.folder}, and give it more trials=")
    print(f"the best is trial {best[0]}, with a validation score of {best[1].value:.4g} on one seed", flush=True)
    failures: list[str] = []

    def train_one(label: str, words: list[str], config: dict[str, Any], stop: NotedSignals) -> None:
        run = RunFolder(Experiment(config).path)
        if stop.number is not None or run.complete(config):
            return
        reason = train(run.path, words, stop)
        if stop.number is None and not run.complete(config):
            failures.append(f"{run.path}: {reason}")
        if result := run.result():
            main = result["main"]["name"]
            reason = f"{main} {result['metrics'][main]:.4g}"
        print(f"{label}  seed {config['seed']}  {reason}", flush=True)

    tasks = []
    for seed in range(base["seed"] + 1, base["seed"] + 1 + count):
        for label, recipe in recipes(trials, base).items():
            words = fresh(recipe, trials.folder, seed)
            tasks.append(partial(train_one, label, words, command_line.compose("train", words)))
    run_all(tasks, workers)
    if failures:
        raise UserError(f"{len(failures)} runs on fresh seeds failed, repeat the command: {failures[0]}")


def confirmed(trials: Trials, base: Mapping[str, Any]) -> list[str]:
    """Folders of the runs on fresh seeds of winner and base recipe; empty until each has at least one."""
    found = []
    for recipe in recipes(trials, base).values():
        parent = Experiment(command_line.compose("train", fresh(recipe, trials.folder, 0))).path.parent
        found.append([str(path.parent) for path in parent.glob("[0-9]*/manifest.json")])
    return [path for paths in found for path in paths] if all(found) else []


def write_page(trials: Trials, base: Mapping[str, Any], stop: Sequence[str]) -> Path:
    """Write the page on the trials and the runs on fresh seeds so far, and return its path.

    base: config of the base recipe. stop: the words in `trials.shared` that are the sweep's stop rule.
    """
    from src.reporting.search import sweep_page  # matplotlib: trials need not wait for it

    commands = {"The sweep (the same command continues it)": f"python -m src.sweep {shlex.join(sys.argv[1:])}"}
    if found := recipes(trials, base):
        *_, recipe = found.values()
        configs = ["--config-dir", folder] if (folder := command_line.config_dir()) else []
        longer = shlex.join([*configs, *(word for word in recipe if word not in stop)])
        commands["The winner, with its recipe's stop rule instead of the sweep's"] = f"python -m src.train {longer}"
    runs = confirmed(trials, base)
    tables = make_tables(find_runs(runs), base["name"]) if runs else []
    choices = command_line.composed("train", trials.shared, return_hydra_config=True).hydra.runtime.choices
    values = {key: literal(value) for key, value in entries(base)}
    values |= {str(group): name or "-" for group, name in choices.items()}
    path = trials.folder / "report.html"
    write_atomic(path, sweep_page(trials.study, [*trials.space], values, tables, commands).encode())
    print(path, flush=True)
    return path
