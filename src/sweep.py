"""python -m src.sweep sweep=mlp_gan_tpe [key=value ...]: search, train the winner on fresh seeds, report.

The same command again continues the sweep. Each trial is `python -m src.train` in its own process. Nothing here imports torch.
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
from src.config.checks import entries, leaves
from src.config.errors import UserError, nearest
from src.config.experiment import Experiment
from src.config.identity import identity, short_hash
from src.reporting.runs import find_runs
from src.reporting.search import sweep_page
from src.reporting.tables import make_tables
from src.search.space import Parameter, corners, literal, read_space, words
from src.system.files import check_writable, write_atomic

# Settings of single runs: the sweep chooses each trial's folder, and whether the trial resumes or restarts.
NOT_IN_BASE = ("run_dir", "fresh", "on_change", "publish")
# Keys that no point of the space may change, not even through a config group: the trials' scores must be comparable.
HELD = re.compile(r"(seed|data\.name|validation\.samples)$|(data\.source|evaluation)(\.|$)")
NOT_GROUPS = ("sweep", "hydra")  # folders of conf/ that are not config groups of python -m src.train
# Settings that are stored with the study: trials of a sweep with other settings may not be reused.
CONTENTS = ("base", "stop", "space", "sampler", "startup", "pruner", "prune_from", "reduction", "seed")


def sweep(config: dict[str, Any]) -> Path:
    """Run the missing parts of the sweep that a plain config describes. Returns the path of its report."""
    check_settings(config)
    folder = Path(config["paths"]["runs"]) / "sweeps" / config["name"]
    parameters = read_space(config["space"])
    stop = [f"stop.{key}={value}" for key, value in config["stop"].items() if value is not None]
    shared = [*place_words(config), *config["base"], *stop]
    base, ends = check(config, shared, parameters)
    check_writable(folder, "paths.runs")
    experiment = Experiment(base)
    experiment.dataset.prepare()
    experiment.identify()
    contents = {key: config[key] for key in CONTENTS} | {
        "base": [word for word in config["base"] if not word.startswith("data.path=")],  # the hashes count, not the place
        "better": experiment.suite.better,
        "data": experiment.dataset.hashes(),
        "recipe": identity(experiment.config) | ends,
    }

    from src.search.study import FAULTS, open_study, reason_of
    from src.search.trials import Trials

    try:
        study = open_study(config, contents, folder)
        trials = Trials(study, folder, parameters, [*shared, "evaluate=false"], config["trials"])
        try:
            search(config, trials, base, shared)
        except BaseException:  # interrupted or failed: report the trials so far
            with contextlib.suppress(Exception):
                write_report(config, trials, base, shared)
            raise
        return write_report(config, trials, base, shared)
    except BrokenPipeError:  # of stdout, not of the store
        raise
    except FAULTS as error:
        raise UserError(
            f"the store, or the disk with {folder}, does not work ({reason_of(error)}): fix it and repeat the command"
        ) from error


def search(config: dict[str, Any], trials: Any, base: dict[str, Any], shared: list[str]) -> None:
    """Run the trials, then train the winner and the base recipe on fresh seeds."""
    from src.search.confirm import confirm
    from src.search.study import winner

    trials.run(config["workers"])
    if (best := winner(trials.study)) is None:
        raise UserError(f"no trial of {config['name']} is complete: see {trials.folder}, and give it more trials=")
    print(f"the best is trial {best[0]}, with a validation score of {best[1].value:.4g} on one seed", flush=True)
    recipes = {"base": shared, f"trial_{best[0]}": winner_words(base, shared, trials.parameters, best)}
    seeds = range(base["seed"] + 1, base["seed"] + 1 + config["confirm"])
    confirm(recipes, seeds, trials.folder, config["workers"], compose)


def winner_words(base: dict[str, Any], shared: list[str], parameters: list[Parameter], best: Any) -> list[str]:
    """Command-line words of the winner, with a name that distinguishes it from the base recipe."""
    name = f"{base['name']}_trial_{best[0]}"
    return [*shared, *words(parameters, best[1].params), f"name={literal(name)}"]


def check_settings(config: dict[str, Any]) -> None:
    """Raise UserError for the first invalid setting of a sweep."""
    known = {*yaml.safe_load((Path(command_line.CONF) / "sweep.yaml").read_text()), "paths"} - {"defaults"}
    if unknown := [key for key in config if key not in known]:  # in its file: Hydra checks only the command line
        raise UserError(f"there is no setting {unknown[0]!r} of a sweep: {nearest(unknown[0], known)}")
    for key in ("stop", "space"):
        if not isinstance(config[key], dict):
            raise UserError(f"{key}={config[key]!r}: must be a mapping, as in conf/sweep/mlp_gan_tpe.yaml")
    if config["reduction"] < 2:
        raise UserError(f"reduction={config['reduction']}: must be a whole number of at least 2")
    if config["prune_from"] > 99:
        raise UserError(f"prune_from={config['prune_from']}: must be a whole number from 1 to 99, which are per cent")
    base = config["base"]
    if not isinstance(base, list) or not all(isinstance(word, str) for word in base):
        raise UserError(f"base={base!r}: must be a list of words of python -m src.train, such as ['model=mlp_gan']")
    for word in base:
        if (key := word.lstrip("+~").partition("=")[0]) in NOT_IN_BASE:
            raise UserError(f"base: leave {key}= out, it is for single runs and the sweep decides it for its trials")


def check(config: dict[str, Any], shared: list[str], parameters: list[Parameter]) -> tuple[dict[str, Any], dict[str, str]]:
    """The base recipe's config, and a config hash for each corner of the space; UserError if one cannot be trained."""
    base, ends = compose(shared), {}
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
        ends[" ".join(words(parameters, point))] = short_hash(found)
        if all(value is None for value in found["stop"].values()):
            raise UserError("the trials would never end: set stop.samples or stop.minutes")
        if config["pruner"] != "none" and found["stop"]["samples"] is None:
            raise UserError(f"pruner={config['pruner']} compares trials by their share of stop.samples: set it")
    return base, ends


def check_alike(base: dict[str, Any], found: dict[str, Any], point: list[str]) -> None:
    """Raise UserError if a point of the space changes how scores are measured; a config group can do that."""
    before, after = dict(leaves(base)), dict(leaves(found))
    for key in sorted(before.keys() | after.keys()):
        if HELD.match(key) and before.get(key) != after.get(key):
            raise UserError(
                f"space: with {' '.join(point)} {key} is {after.get(key)} and not {before.get(key)}, which makes scores "
                "that cannot be compared: give it in base, or leave that choice out"
            )


def write_report(config: dict[str, Any], trials: Any, base: dict[str, Any], shared: list[str]) -> Path:
    """Write the report on the trials so far and return its path."""
    from src.search.confirm import confirmed
    from src.search.study import importances, trials_of, winner

    best, parameters = winner(trials.study), trials.parameters
    records = trials_of(trials.study, parameters)
    begun = confirmed([shared, winner_words(base, shared, parameters, best)], trials.folder, compose) if best else []
    values = {key: literal(value) for key, value in entries(base)} | group_names(shared)
    commands = {"The sweep (the same command continues it)": f"python -m src.sweep {shlex.join(sys.argv[1:])}"}
    if best:
        configs = ["--config-dir", folder] if (folder := command_line.config_dir()) else []
        usual = {*place_words(compose(config["base"]))}
        places = [word for word in place_words(base) if word not in usual]
        train = shlex.join([*configs, *winner_words(base, [*config["base"], *places], parameters, best)])
        commands["The winner, with its recipe's stop rule instead of the sweep's"] = f"python -m src.train {train}"
    page = sweep_page(
        config["name"],
        records,
        records[best[0]] if best else None,
        importances(trials.study),
        {parameter.key: values.get(parameter.key, "-") for parameter in parameters},
        make_tables(find_runs([str(path) for path in begun]), base["name"]) if begun else [],
        commands,
        Experiment(base).suite.better,
    )
    write_atomic(path := trials.folder / "report.html", page.encode())
    print(path, flush=True)
    return path


def place_words(config: dict[str, Any]) -> list[str]:
    """Command-line words for a config's data and cache folders."""
    return [f"paths.{kind}={literal(config['paths'][kind])}" for kind in ("data", "cache")]


def groups() -> set[str]:
    """Names of the config groups of python -m src.train."""
    return {path.name for path in Path(command_line.CONF).iterdir() if path.is_dir()} - {*NOT_GROUPS}


def group_names(words: Sequence[str]) -> dict[str, str]:
    """Config group -> name of the config that these words of python -m src.train choose, "-" for none."""
    choices = command_line.composed("train", words, return_hydra_config=True).hydra.runtime.choices
    return {group: choices.get(group) or "-" for group in groups()}


def compose(words: Sequence[str]) -> dict[str, Any]:
    return command_line.compose("train", words)


if __name__ == "__main__":
    command_line.run("sweep", sweep)
