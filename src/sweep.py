"""python -m src.sweep sweep=mlp_gan_tpe [key=value ...]: search, train the winner on fresh seeds, report. Repeated, it goes on.

Each trial is `python -m src.train` in a process of its own. Nothing here imports torch.
"""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from src import cli
from src.config import entries, leaves
from src.errors import UserError, nearest
from src.files import check_writable, write_atomic
from src.reporting.runs import find_runs
from src.reporting.search import sweep_page
from src.reporting.tables import make_tables
from src.search.jobs import run_jobs
from src.search.space import Parameter, corners, literal, read_space, words


def sweep(config: dict[str, Any]) -> Path:
    """Run what is missing of the sweep that a plain, checked config names; the page on it."""
    for key, least in (("workers", 1), ("reduction", 2)):
        if config[key] < least:
            raise UserError(f"{key}={config[key]}: must be a whole number of at least {least}")
    folder = Path(config["paths"]["runs"]) / "sweeps" / config["name"]
    parameters = read_space(config["space"])
    shared = [*config["base"], *(f"stop.{key}={value}" for key, value in config["stop"].items() if value is not None)]
    base = check(config, shared, parameters)
    check_writable(folder, "paths.runs")

    from src.search.study import open_study, winner
    from src.search.trials import Trials

    study = open_study(config, folder)
    trials = Trials(study, folder, parameters, [*shared, "evaluate=false"], config["trials"], compose)
    try:
        trials.run(config["workers"], wait=config["confirm"] > 0)
        best = winner(study)
        if best is None:
            raise UserError(f"no trial of {config['name']} is complete: see {folder}, and give it more trials=")
        print(f"the best is trial {best.number}, with a validation distance of {best.value:.4g} on one seed", flush=True)
        if config["confirm"]:
            recipes = {"base": shared, f"trial_{best.number}": winning(base, shared, parameters, best)}
            confirm(folder, recipes, [base["seed"] + 1 + number for number in range(config["confirm"])], config["workers"])
    finally:  # interrupted or not
        path = write_report(config, folder, study, parameters, base, shared)
    return path


def winning(base: dict[str, Any], shared: list[str], parameters: list[Parameter], best: Any) -> list[str]:
    """The winner's words, under a name that tells it from the base recipe."""
    return [*shared, *words(parameters, best.params), f"name={base['name']}_trial_{best.number}"]


def confirm(folder: Path, recipes: dict[str, list[str]], seeds: list[int], workers: int) -> None:
    """Train and measure each recipe on each seed, as far as that has not been done."""
    from src.search.confirm import Confirmation

    confirmation = Confirmation(folder, recipes, seeds)
    run_jobs(confirmation.next_job, workers, confirmation.waiting)
    if confirmation.failures:
        raise UserError(
            f"{len(confirmation.failures)} runs on fresh seeds failed, repeat the command: {confirmation.failures[0]}"
        )


def write_report(
    config: dict[str, Any], folder: Path, study: Any, parameters: list[Parameter], base: dict[str, Any], shared: list[str]
) -> Path:
    """The page, of what there is so far."""
    from src.search.study import importances, trials_of, winner

    best, trials = winner(study), trials_of(study, parameters)
    names = ["base", f"trial_{best.number}"] if best else []
    begun = [str(path) for name in names if any((path := folder / "confirm" / name).glob("*/manifest.json"))]
    values = dict(entries(base))
    commands = {"The sweep; repeated, it goes on": f"python -m src.sweep {shlex.join(sys.argv[1:])}"}
    if best:
        train = shlex.join(winning(base, config["base"], parameters, best))
        commands["The winner, for as long as its recipe says and not the sweep"] = f"python -m src.train {train}"
    text = sweep_page(
        config["name"],
        trials,
        next((trial for trial in trials if best and trial.number == best.number), None),
        importances(study),
        {parameter.key: literal(values.get(parameter.key, "")) for parameter in parameters},
        make_tables(find_runs(begun), base["name"]) if len(begun) == 2 else [],
        commands,
    )
    write_atomic(path := folder / "report.html", text.encode())
    print(path, flush=True)
    return path


def compose(words: Sequence[str]) -> dict[str, Any]:
    return cli.compose("train", words)


def check(config: dict[str, Any], shared: list[str], parameters: list[Parameter]) -> dict[str, Any]:
    """The config of the base recipe; raises UserError where it, or any end of the search space, cannot be trained."""
    base = compose(shared)
    known = {key for key, _ in entries(base)} | {path.name for path in Path(cli.CONF).iterdir() if path.is_dir()}
    for parameter in parameters:
        if parameter.key not in known:
            alike = nearest(parameter.key, (key for key, _ in leaves(base)))
            raise UserError(f"space: there is no setting {parameter.key!r}: {alike}")
    for point in corners(parameters):
        found = compose([*shared, *words(parameters, point)])
        if all(value is None for value in found["stop"].values()):
            raise UserError("the trials would never end: set stop.images or stop.minutes")
        if config["pruner"] != "none" and found["stop"]["images"] is None:
            raise UserError(f"pruner={config['pruner']} holds trials together by their share of stop.images: set it")
    return base


if __name__ == "__main__":
    cli.run("sweep", sweep)
