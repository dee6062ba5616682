"""Training a run folder: from its config, or its newest whole checkpoint, to the final weights.

torch and all that needs it (`src/training/learn.py`) are imported when everything that can be checked without them has been.
"""

import math
from pathlib import Path
from typing import Any

from src.config.errors import UserError
from src.data.dataset import Dataset
from src.parallel.place import Place
from src.parallel.processes import ALONE, Team
from src.runs.checkpoints import load_checkpoint, step_of
from src.runs.folder import START_AGAIN, RunFolder, build_dataset, build_model
from src.runs.manifest import MACHINE, PACKAGES, SPLIT, STRATEGY, data_changes, machine_changes, software, software_changes
from src.system.interpreter import gc_paused
from src.system.numerics import here, set_up


def stop_step(config: dict[str, Any], train_samples: int) -> tuple[int | None, str]:
    """The generator step at which the budget of images or epochs is used up, and which of the two it is."""
    stop, batch = config["stop"], config["data"]["batch_size"]
    if config["model"].get("loss", True) in (None, {}):
        raise UserError(f"{config['name']} needs an adversarial loss: loss=non_saturating or another of conf/loss")
    if all(value is None for value in stop.values()):
        raise UserError("the run would never end: set stop.epochs, stop.images, stop.minutes or stop.distance")
    if batch > train_samples:
        raise UserError(f"data.batch_size={batch} is more than the {train_samples} training samples: make it smaller")
    images = {"images": stop["images"], "epochs": stop["epochs"] and stop["epochs"] * train_samples}
    budgets = {reason: count for reason, count in images.items() if count is not None}
    if not budgets:
        return None, ""
    reason = min(budgets, key=lambda name: budgets[name])
    return max(1, math.floor(budgets[reason] / (batch * config["model"].get("d_steps", 1)))), reason


def fit(config: dict[str, Any], run: RunFolder, dataset: Dataset, stop: int | None, reason: str, team: Team = ALONE) -> None:
    """Train from the newest whole checkpoint, or from the start, until the first budget is used up."""
    set_up(config, team.place)
    checkpoint = run.newest("step")
    if checkpoint:
        go_on(config, run, dataset, team.place, checkpoint)
    run.drop_results()
    made_with = software(config, dataset.spec.kind) | {"data": dataset.hashes()} if team.place.external else {}
    team.order(follow_fit, config, made_with, team.place, run.path, checkpoint, stop, reason)

    with gc_paused():
        from src.training.learn import learn

    learn(config, team.place, run, dataset, checkpoint, stop, reason)


def follow_fit(
    config: dict[str, Any],
    made_with: dict[str, Any],
    place: Place,
    path: Path,
    checkpoint: Path | None,
    stop: int | None,
    reason: str,
) -> None:
    """What the other processes do of `fit`. On other machines they must have the code and data that it is `made_with`."""
    set_up(config, place)
    dataset = build_dataset(config)
    dataset.prepare()
    if place.external:
        changes = software_changes(made_with, software(config, dataset.spec.kind))
        changes += data_changes(made_with["data"], dataset.hashes())
        if changes:
            raise UserError(f"this machine has something else than the first ({'; '.join(changes)}): give all the same")

    with gc_paused():
        from src.training.learn import learn

    learn(config, place, RunFolder(path), dataset, checkpoint, stop, reason)


def follow_evaluate(config: dict[str, Any], place: Place, path: Path) -> None:
    """What the other processes do of the evaluation."""
    set_up(config, place)

    from src.evaluation.scoring import follow_score

    follow_score(path, config)


def go_on(config: dict[str, Any], run: RunFolder, dataset: Dataset, place: Place, checkpoint: Path) -> None:
    """Refuse to continue with what makes another result than the run's beginning, or note it down where that is wanted."""
    before, step = run.made_with(), step_of(checkpoint)
    if "threads" not in before:
        raise UserError(f"{run.path / 'manifest.json'} is damaged: {START_AGAIN}")
    now = software(config, dataset.spec.kind) | here(config, place) | {"data": dataset.hashes()}
    changes = run.changes(config, dataset.hashes()) + software_changes(before, now) + machine_changes(before, now)
    if changes and config["on_change"] != "accept":
        raise UserError(changed(run, changes))
    if changes:
        check_fits(config, dataset, checkpoint)
        run.write_config(config)
        note = {"step": step, "changes": changes, "promise": promise(changes, before, place), "with": now}
        run.update_manifest(continued=[*before.get("continued", []), note])
    print(f"going on from step {step:,}" + "".join(f"\n  with other {change}" for change in changes))
    if changes:
        print(f"  the promise: {note['promise']}")


def check_fits(config: dict[str, Any], dataset: Dataset, checkpoint: Path) -> None:
    """Raise UserError where the config's model is not the one whose weights a checkpoint has."""
    try:
        build_model(config, dataset.spec).load_state_dict(load_checkpoint(checkpoint)["state_dict"])
    except RuntimeError as error:
        raise UserError(f"{checkpoint} is of another model than is asked for: put that back, or add fresh=true") from error


def promise(changes: list[str], before: dict[str, Any], place: Place) -> str:
    """Which part of README's promise a run keeps that goes on with these changes."""
    if any(not change.startswith((*SPLIT, STRATEGY, *MACHINE, *PACKAGES)) for change in changes):
        return "none, this is another training from here on"
    if any(not change.startswith((*SPLIT, STRATEGY)) for change in changes):
        return "its metric falls in the interval of one further seed"
    if "per process" in (before.get("batch_norm"), place.record()["batch_norm"]):
        return "its metric falls in the interval of one further seed (batch norm is over each process's part of the batch)"
    return "equal within rounding over the next steps, but for what looks at one process's part of the batch"


def changed(run: RunFolder, changes: list[str], over: bool = False) -> str:
    """What to say to someone whose command is not the one that this run was started with; over: it cannot go on."""
    remedies = ["put it back", "choose another run_dir=", "add fresh=true to start again"]
    remedies += [] if over else ["add on_change=accept to go on all the same"]
    return f"{run.path} was started with something else ({'; '.join(changes)}): {', '.join(remedies[:-1])}, or {remedies[-1]}"
