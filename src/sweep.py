"""python -m src.sweep sweep=mlp_gan_tpe [key=value ...]: search, train the winner on fresh seeds, report. Repeated, it goes on.

Each trial is `python -m src.train` in a process of its own. Nothing here imports torch.
"""

import contextlib
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from src.config import command_line
from src.config.checks import entries, identity, leaves, short_hash
from src.config.errors import UserError, nearest
from src.reporting.runs import find_runs
from src.reporting.search import sweep_page
from src.reporting.tables import make_tables
from src.search.jobs import check_data, run_jobs
from src.search.space import Parameter, corners, literal, read_space, words
from src.system.files import check_writable, write_atomic

# Of a single run: a trial has a folder of its own, where it goes on or is begun anew as the sweep says.
NOT_IN_BASE = ("run_dir", "fresh", "on_change", "publish")
# What all trials have alike, whatever a config group in the space brings with it: their distances are compared.
HELD = re.compile(r"(seed|data\.name|validation\.samples)$|(data\.source|evaluation)(\.|$)")
NOT_GROUPS = ("sweep", "hydra")  # folders of conf/ that are no config groups of python -m src.train


def sweep(config: dict[str, Any]) -> Path:
    """Run what is missing of the sweep that a plain config names; the page on it."""
    check_settings(config)
    folder = Path(config["paths"]["runs"]) / "sweeps" / config["name"]
    parameters = read_space(config["space"])
    places = place_words(config)
    stop = [f"stop.{key}={value}" for key, value in config["stop"].items() if value is not None]
    shared = [*places, *config["base"], *stop]
    base = check(config, shared, parameters)
    check_writable(folder, "paths.runs")

    from src.search.study import FAULTS, open_study, reason_of
    from src.search.trials import Trials

    contents = {**config, "recipe": recipe(base, shared, parameters)}
    try:
        study = open_study(contents, folder)
        trials = Trials(study, folder, parameters, [*shared, "evaluate=false"], config["trials"], compose)
        try:
            search(config, trials, base, shared)
        except BaseException:  # interrupted, or failed: the page is of what there is
            with contextlib.suppress(Exception):
                write_report(config, trials, base, shared)
            raise
        return write_report(config, trials, base, shared)
    except BrokenPipeError:  # of the output
        raise
    except FAULTS as error:
        raise UserError(
            f"the store, or the disk with {folder}, does not work ({reason_of(error)}): mend it and repeat the command"
        ) from error


def search(config: dict[str, Any], trials: Any, base: dict[str, Any], shared: list[str]) -> None:
    """The trials, and then the winner on fresh seeds."""
    if trials.left():
        check_data(trials.runs(), base)
    trials.run(config["workers"], wait=config["confirm"] > 0)
    best, failed, running = trials.best(), trials.failed(), trials.running()
    if best is None and running and not config["confirm"]:
        print(f"no trial is complete yet: other commands are at work on {len(running)}", flush=True)
        return
    if best is None:
        raise UserError(f"no trial of {config['name']} is complete: see {trials.folder}, and give it more trials=")
    also = f"; {failed} trials failed" if failed else ""
    print(f"the best is trial {best.number}, with a validation distance of {best.value:.4g} on one seed{also}", flush=True)
    if config["confirm"]:
        seeds = [base["seed"] + 1 + number for number in range(config["confirm"])]
        runs = confirmation(trials, base, shared, best, seeds)
        if runs.left():
            check_data(trials.runs(), base)
        confirm(runs, config["workers"])


def check_settings(config: dict[str, Any]) -> None:
    """Raise UserError for the first setting of a sweep that makes no sense."""
    known = {*yaml.safe_load((Path(command_line.CONF) / "sweep.yaml").read_text()), "paths"} - {"defaults"}
    if unknown := [key for key in config if key not in known]:  # of its file: Hydra refuses those of a command line
        raise UserError(f"there is no setting {unknown[0]!r} of a sweep: {nearest(unknown[0], known)}")
    if missing := sorted(known - config.keys()):
        raise UserError(f"a sweep needs {missing[0]}=: leave ~{missing[0]} out")
    for key in ("stop", "space"):
        if not isinstance(config[key], dict):
            raise UserError(f"{key}={config[key]!r}: must be a mapping, as in conf/sweep/mlp_gan_tpe.yaml")
    for key, least in (("workers", 1), ("reduction", 2)):
        if config[key] < least:
            raise UserError(f"{key}={config[key]}: must be a whole number of at least {least}")
    if config["prune_from"] > 99:
        raise UserError(f"prune_from={config['prune_from']}: must be a whole number from 1 to 99, which are per cent")
    base = config["base"]
    if not isinstance(base, list) or not all(isinstance(word, str) for word in base):
        raise UserError(f"base={base!r}: must be a list of words of python -m src.train, such as ['model=mlp_gan']")
    for word in base:
        if (key := word.lstrip("+~").partition("=")[0]) in NOT_IN_BASE:
            raise UserError(f"base: leave {key}= out, it is for single runs and the sweep decides it for its trials")


def place_words(config: dict[str, Any]) -> list[str]:
    """Where a config's data and what is made of them are, as words."""
    return [f"paths.{kind}={literal(config['paths'][kind])}" for kind in ("data", "cache")]


def winning(base: dict[str, Any], shared: list[str], parameters: list[Parameter], best: Any) -> list[str]:
    """The winner's words, under a name that tells it from the base recipe."""
    name = f"{base['name']}_trial_{best.number}"
    return [*shared, *words(parameters, best.params), f"name={literal(name)}"]


def confirmation(trials: Any, base: dict[str, Any], shared: list[str], best: Any, seeds: Sequence[int] = ()) -> Any:
    """The runs of the base recipe and of the winner on fresh seeds."""
    from src.search.confirm import Confirmation

    recipes = {"base": shared, f"trial_{best.number}": winning(base, shared, trials.parameters, best)}
    return Confirmation(trials.folder, recipes, seeds, compose)


def confirm(confirmation: Any, workers: int) -> None:
    """Train and measure each recipe on each seed, as far as that has not been done."""
    run_jobs(confirmation.next_job, workers, confirmation.waiting)
    if confirmation.failures:
        raise UserError(
            f"{len(confirmation.failures)} runs on fresh seeds failed, repeat the command: {confirmation.failures[0]}"
        )


def write_report(config: dict[str, Any], trials: Any, base: dict[str, Any], shared: list[str]) -> Path:
    """The page, of what there is so far."""
    from src.search.study import importances, trials_of

    best, parameters = trials.best(), trials.parameters
    records = trials_of(trials.study, parameters)
    begun = confirmation(trials, base, shared, best).begun() if best else []
    values = {key: literal(value) for key, value in entries(base)} | group_names(shared)
    commands = {"The sweep; repeated, it goes on": f"python -m src.sweep {shlex.join(sys.argv[1:])}"}
    if best:
        configs = ["--config-dir", folder] if (folder := command_line.config_dir()) else []
        usual = {*place_words(compose(config["base"]))}
        places = [word for word in place_words(base) if word not in usual]
        train = shlex.join([*configs, *winning(base, [*config["base"], *places], parameters, best)])
        commands["The winner, for as long as its recipe says and not the sweep"] = f"python -m src.train {train}"
    text = sweep_page(
        config["name"],
        records,
        next((record for record in records if best and record.number == best.number), None),
        importances(trials.study),
        {parameter.key: values.get(parameter.key, "-") for parameter in parameters},
        make_tables(find_runs([str(path) for path in begun]), base["name"]) if begun else [],
        commands,
    )
    write_atomic(path := trials.folder / "report.html", text.encode())
    print(path, flush=True)
    return path


def groups() -> set[str]:
    """Config groups of python -m src.train."""
    return {path.name for path in Path(command_line.CONF).iterdir() if path.is_dir()} - {*NOT_GROUPS}


def group_names(words: Sequence[str]) -> dict[str, str]:
    """Config group -> the name of its config that words of python -m src.train choose, "-" for none."""
    choices = command_line.composed("train", words, return_hydra_config=True).hydra.runtime.choices
    return {group: choices.get(group) or "-" for group in groups()}


def recipe(base: dict[str, Any], shared: list[str], parameters: list[Parameter]) -> dict[str, Any]:
    """What the sweep's words stand for: the base recipe's settings, and a hash for each searched name of a config group."""
    chosen = [parameter.word(name) for parameter in parameters if parameter.key in groups() for name in parameter.corners()]
    return identity(base) | {word: short_hash(compose([*shared, word])) for word in chosen}


def compose(words: Sequence[str]) -> dict[str, Any]:
    return command_line.compose("train", words)


def check(config: dict[str, Any], shared: list[str], parameters: list[Parameter]) -> dict[str, Any]:
    """The config of the base recipe; raises UserError where it, or any end of the search space, cannot be trained."""
    base = compose(shared)
    known = {key for key, _ in entries(base)} | groups()
    for parameter in parameters:
        if parameter.key not in known:
            alike = nearest(parameter.key, (key for key, _ in leaves(base)))
            raise UserError(f"space: there is no setting {parameter.key!r}: {alike}")
        if parameter.key in groups() and not all(isinstance(choice, str) for choice in parameter.corners()):
            raise UserError(f"space: {parameter.key} is a config group: give it type categorical, and names as choices")
    for point in corners(parameters):
        found = compose([*shared, *words(parameters, point)])
        check_alike(base, found, words(parameters, point))
        if all(value is None for value in found["stop"].values()):
            raise UserError("the trials would never end: set stop.images or stop.minutes")
        if config["pruner"] != "none" and found["stop"]["images"] is None:
            raise UserError(f"pruner={config['pruner']} holds trials together by their share of stop.images: set it")
    return base


def check_alike(base: dict[str, Any], found: dict[str, Any], point: list[str]) -> None:
    """Raise UserError where a point of the space changes by what a trial's distance is measured, as a config group may do."""
    before, after = dict(leaves(base)), dict(leaves(found))
    for key in sorted(before.keys() | after.keys()):
        if HELD.match(key) and before.get(key) != after.get(key):
            raise UserError(
                f"space: with {' '.join(point)} {key} is {after.get(key)} and not {before.get(key)}, which makes distances "
                "that cannot be compared: give it in base, or leave that choice out"
            )


if __name__ == "__main__":
    command_line.run("sweep", sweep)
