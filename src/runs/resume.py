"""Beginning a run, and going on with it: what may differ from its beginning, and what is written down."""

from pathlib import Path
from typing import Any

from src.config.checks import short_hash
from src.config.errors import UserError
from src.config.experiment import Experiment
from src.data.spec import Spec
from src.parallel.place import Place
from src.runs.checkpoints import load_checkpoint, step_of
from src.runs.folder import START_AGAIN, RunFolder
from src.runs.manifest import (
    MACHINE,
    PACKAGES,
    SPLIT,
    STRATEGY,
    machine,
    machine_changes,
    place_changes,
    software,
    software_changes,
)


def machine_now(experiment: Experiment, place: Place) -> dict[str, Any]:
    """What the rounding of this run depends on, as a manifest has it, with torch set up for it."""
    from src.system.numerics import set_up

    set_up(experiment.trainer.threads, experiment.trainer.matmul_precision, place.devices)
    return machine(experiment.trainer.channels_last) | place.record()


def moved(run: RunFolder, now: dict[str, Any]) -> list[str]:
    """What of the machine is not as a run's manifest has it; nothing where the run has none."""
    made = run.made_with()
    return machine_changes(made, now) if "threads" in made else []


def prepare_folder(run: RunFolder, experiment: Experiment, place: Place, hashes: dict[str, str]) -> None:
    """Set aside what must not go on, or refuse: what the folder holds and what the config asks for are compared."""
    config = experiment.config
    if config["publish"]:
        run.check_publishable(Path(config["publish"]))
    if config["fresh"]:  # whatever state the earlier run is in
        run.set_aside()
    inputs = run.changes(config, hashes) if run.started() else []
    code = software_changes(run.made_with(), software(config))
    if config["on_change"] == "restart" and (inputs or code or elsewhere(run, experiment, place)):
        run.set_aside()
    elif inputs and run.finished():
        raise UserError(changed(run, inputs + code, over=True))
    elif config["on_change"] == "refuse" and (inputs or (code and not run.complete(config))):
        raise UserError(changed(run, inputs + code))


def elsewhere(run: RunFolder, experiment: Experiment, place: Place) -> list[str]:
    """What keeps a run from going on here; of a finished one, in what other way it was divided."""
    if run.finished():
        return place_changes(run.made_with(), place.record())
    return moved(run, machine_now(experiment, place))


def begin(run: RunFolder, experiment: Experiment, spec: Spec, hashes: dict[str, str], now: dict[str, Any], model: Any) -> None:
    """What is written of a run before its first update."""
    from src.runs.export import state_hash

    run.write_config(experiment.config)
    run.begin_manifest(
        **software(experiment.config),
        **now,
        data=hashes,
        spec=spec.record(),
        parameters={name: count(network) for name, network in model.networks().items()},
        initial_weights=state_hash(model.state_dict()),
        config_hash=short_hash(experiment.config),
    )


def count(network: Any) -> int:
    """Parameters that learn."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


def go_on(
    run: RunFolder, experiment: Experiment, hashes: dict[str, str], now: dict[str, Any], checkpoint: Path, model: Any
) -> None:
    """Refuse to continue with what makes another result than the run's beginning, or note it down where that is wanted."""
    before, step = run.made_with(), step_of(checkpoint)
    if "threads" not in before:
        raise UserError(f"{run.path / 'manifest.json'} is damaged: {START_AGAIN}")
    ours = software(experiment.config) | now
    changes = run.changes(experiment.config, hashes) + software_changes(before, ours) + machine_changes(before, now)
    if changes and experiment.config["on_change"] != "accept":
        raise UserError(changed(run, changes))
    if changes:
        check_fits(model, checkpoint)
        run.write_config(experiment.config)
        kept = promise(changes, before, now)
        note = {"step": step, "changes": changes, "promise": kept, "with": ours | {"data": hashes}}
        run.update_manifest(continued=[*before.get("continued", []), note])
    print(f"going on from step {step:,}" + "".join(f"\n  with other {change}" for change in changes))
    if changes:
        print(f"  the promise: {kept}")


def check_fits(model: Any, checkpoint: Path) -> None:
    """Raise UserError where a model is not the one whose weights a checkpoint has."""
    try:
        model.load_state_dict(load_checkpoint(checkpoint)["state_dict"])
    except RuntimeError as error:
        raise UserError(f"{checkpoint} is of another model than is asked for: put that back, or add fresh=true") from error


def promise(changes: list[str], before: dict[str, Any], now: dict[str, Any]) -> str:
    """Which part of README's promise a run keeps that goes on with these changes."""
    if any(not change.startswith((*SPLIT, STRATEGY, *MACHINE, *PACKAGES)) for change in changes):
        return "none, this is another training from here on"
    if any(not change.startswith((*SPLIT, STRATEGY)) for change in changes):
        return "its metric falls in the interval of one further seed"
    if "per process" in (before.get("batch_norm"), now["batch_norm"]):
        return "its metric falls in the interval of one further seed (batch norm is over each process's part of the batch)"
    return "equal within rounding over the next steps, but for what looks at one process's part of the batch"


def changed(run: RunFolder, changes: list[str], over: bool = False) -> str:
    """What to say to someone whose command is not the one that this run was started with; over: it cannot go on."""
    remedies = ["put it back", "choose another run_dir=", "add fresh=true to start again"]
    remedies += [] if over else ["add on_change=accept to go on all the same"]
    return f"{run.path} was started with something else ({'; '.join(changes)}): {', '.join(remedies[:-1])}, or {remedies[-1]}"
