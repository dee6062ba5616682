"""python -m src.sweep sweep=mlp_gan_tpe [key=value ...]: search, train the winner on fresh seeds, report.

The same command again continues the sweep. Each trial is `python -m src.train` in its own process. Nothing here imports torch.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from src.config import command_line
from src.config.checks import leaves
from src.config.errors import UserError
from src.config.experiment import Experiment
from src.config.identity import identity, short_hash
from src.search.space import corners, literal, read_space, words
from src.system.files import check_writable

# Settings of single runs: the sweep chooses each trial's folder, and whether the trial resumes or restarts.
NOT_IN_BASE = ("run_dir", "fresh", "on_change", "publish")
# Keys that no point of the space may change, not even through a config group: the trials' scores must be comparable.
HELD = re.compile(r"(seed|data\.name|validation\.samples)$|(data\.source|evaluation)(\.|$)")
# Settings that are stored with the study: trials of a sweep with other settings may not be reused.
CONTENTS = ("base", "stop", "space", "sampler", "startup", "pruner", "prune_from", "reduction", "seed")


def sweep(config: dict[str, Any]) -> Path:
    """Run the missing parts of the sweep that a plain config describes. Returns the path of its page."""
    check_settings(config)
    space = read_space(config["space"])
    places = [f"paths.{kind}={literal(config['paths'][kind])}" for kind in ("data", "cache")]
    stop = [f"stop.{key}={value}" for key, value in config["stop"].items() if value is not None]
    shared = [*places, *config["base"], *stop]
    base, hashes = check(config["pruner"], shared, space)
    folder = Path(config["paths"]["runs"]) / "sweeps" / config["name"]
    check_writable(folder, "paths.runs")
    experiment = Experiment(base)
    experiment.dataset.prepare()
    experiment.identify()
    contents = {key: config[key] for key in CONTENTS} | {
        "base": [word for word in config["base"] if not word.startswith("data.path=")],  # the hashes count, not the place
        "better": experiment.suite.better,
        "data": experiment.dataset.hashes(),
        "recipe": identity(experiment.config) | hashes,
    }

    from optuna.exceptions import StorageInternalError  # Optuna takes seconds: mistakes are answered before it

    from src.search.study import open_study, reason_of
    from src.search.trials import Trials
    from src.search.winner import confirm, write_page

    try:
        trials = Trials(open_study(config, contents, folder), folder, space, shared, config["trials"])
        try:
            trials.run(config["workers"])
            confirm(trials, base, config["confirm"], config["workers"])
        finally:  # if it was interrupted or has failed, on what there is
            page = write_page(trials, base, stop)
    except StorageInternalError as error:
        raise UserError(f"the store does not work ({reason_of(error)}): fix it and repeat the command") from error
    return page


def check_settings(config: dict[str, Any]) -> None:
    """Raise UserError for the first invalid setting of a sweep."""
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


def check(pruner: str, shared: Sequence[str], space: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """The config of the base recipe, and the hashes of the configs at the corners of the space (words -> hash).

    UserError for the first of them that cannot be trained, or whose scores cannot be compared with those of the base recipe.
    """
    base, hashes = command_line.compose("train", shared), {}
    held = {key: value for key, value in leaves(base) if HELD.match(key)}
    for point in corners(space):
        chosen = words(space, point)
        found = command_line.compose("train", [*shared, *chosen])
        for key, value in leaves(found):
            if HELD.match(key) and value != held.get(key):
                raise UserError(
                    f"space: with {' '.join(chosen)} {key} is {value} and not {held.get(key)}, which makes scores "
                    "that cannot be compared: give it in base, or leave that choice out"
                )
        if Experiment(found).stop.samples is None and pruner != "none":
            raise UserError(f"pruner={pruner} compares trials by their share of stop.samples: set it")
        hashes[" ".join(chosen)] = short_hash(found)
    return base, hashes


def main() -> None:
    """The console command aigc-sweep."""
    command_line.run("sweep", sweep)


if __name__ == "__main__":
    main()
