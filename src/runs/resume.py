"""Start and resume runs: which changes are allowed since the start, and what is recorded."""

import shutil
from pathlib import Path
from typing import Any

from src.config.errors import UserError
from src.config.experiment import Experiment
from src.config.identity import differences, short_hash
from src.data.dataset import licence_of, notes_of
from src.data.spec import Spec
from src.parallel.place import Place
from src.runs.checkpoints import digest_path, load_checkpoint, step_of
from src.runs.folder import START_AGAIN, RunFolder
from src.runs.learned import keep
from src.runs.manifest import (
    MACHINE,
    PACKAGES,
    SPLIT,
    STRATEGY,
    data_changes,
    machine,
    machine_changes,
    place_changes,
    software,
    software_changes,
)
from src.runs.publish import check_publishable


def machine_now(experiment: Experiment, place: Place) -> dict[str, Any]:
    """Set up torch for this run. Returns machine and place as a manifest records them."""
    from src.system.numerics import set_up

    set_up(experiment.trainer.threads, experiment.trainer.matmul_precision, place.devices)
    return machine(experiment.trainer.channels_last) | place.record()


def machine_differences(run: RunFolder, now: dict[str, Any]) -> list[str]:
    """How the machine `now` differs from a run's manifest, as text; empty if the manifest has no machine."""
    made = run.made_with()
    return machine_changes(made, now) if "threads" in made else []


def prepare_folder(run: RunFolder, experiment: Experiment, place: Place, hashes: dict[str, str]) -> None:
    """Compare the run in the folder with the config; set it aside, or raise UserError, if it must not continue."""
    config = experiment.config
    if config["publish"]:
        check_publishable(run, Path(config["publish"]))
    if config["fresh"]:  # in any state of the earlier run
        run.set_aside()
    inputs = run.changes(config, hashes) if run.started() else []
    code = software_changes(run.made_with(), software(config))
    if config["on_change"] == "restart" and (inputs or code or environment_changes(run, experiment, place)):
        run.set_aside()
    elif inputs and run.finished():
        raise UserError(refusal(run, inputs + code, over=True))
    elif config["on_change"] == "refuse" and (inputs or (code and not run.complete(config))):
        raise UserError(refusal(run, inputs + code))


def environment_changes(run: RunFolder, experiment: Experiment, place: Place) -> list[str]:
    """Differences of machine and place that stop a run from resuming here, as text; of a finished run, of the place only."""
    if run.finished():
        return place_changes(run.made_with(), place.record())
    return machine_differences(run, machine_now(experiment, place))


def begin(run: RunFolder, experiment: Experiment, spec: Spec, hashes: dict[str, str], now: dict[str, Any], model: Any) -> None:
    """Write the run's config and manifest, before its first update."""
    from src.runs.export import state_hash

    run.write_config(experiment.config)
    run.begin_manifest(
        **software(experiment.config),
        **now,
        data=hashes,
        notes=notes_of(experiment.dataset),
        **({"licence": licence} if (licence := licence_of(experiment.dataset)) else {}),
        learned=keep(run.path, experiment.dataset),
        spec=spec.record(),
        parameters={name: count(network) for name, network in model.networks().items()},
        initial_weights=state_hash(model.state_dict()),
        config_hash=short_hash(experiment.config),
    )


def count(network: Any) -> int:
    """Number of trainable parameters."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


def continue_run(
    run: RunFolder, experiment: Experiment, hashes: dict[str, str], now: dict[str, Any], checkpoint: Path, model: Any
) -> None:
    """Raise UserError if anything differs from the run's start; with on_change=accept, record the differences instead."""
    before, step = run.made_with(), step_of(checkpoint)
    if "threads" not in before:
        raise UserError(f"{run.path / 'manifest.json'} is damaged: {START_AGAIN}")
    ours = software(experiment.config) | now
    changes = run.changes(experiment.config, hashes) + software_changes(before, ours) + machine_changes(before, now)
    if changes and experiment.config["on_change"] != "accept":
        raise UserError(refusal(run, changes))
    if changes:
        check_fits(model, checkpoint)
        run.write_config(experiment.config)
        kept = promise(changes, before, now)
        note = {"step": step, "changes": changes, "promise": kept, "with": ours | {"data": hashes}}
        run.update_manifest(continued=[*before.get("continued", []), note])
    print(f"going on from step {step:,}" + "".join(f"\n  with other {change}" for change in changes))
    if changes:
        print(f"  the promise: {kept}")


def extend(run: RunFolder, source: RunFolder, experiment: Experiment, hashes: dict[str, str], model: Any) -> Path:
    """Copy the last checkpoint of a finished run, and what led there, into a run that has just begun; the checkpoint.

    The copy goes on under the new run's config. UserError if the source has other data or another model, or is already past the
    new run's end.
    """
    if (last := source.newest("step")) is None:
        raise UserError(f"extend={source.path} has no intact checkpoint: name a run folder that has one")
    if changed := data_changes(source.manifest()["data"], hashes):
        raise UserError(f"extend={source.path} was trained on other data ({'; '.join(changed)}): get that version of it")
    if (before := source.spec()) and before.x.names != experiment.dataset.spec.x.names:
        raise UserError(f"extend={source.path} has another vocabulary: take its settings of the data, or leave extend= out")
    check_fits(model, last)
    step, split = step_of(last), experiment.dataset.split("train")
    end, _ = experiment.stop.last_step(len(split), experiment.batch_size * model.batches_per_update)
    if end is not None and end <= step:
        raise UserError(f"extend={source.path} has made {step:,} steps, and this run would end at {end:,}: raise stop.samples")
    changes = differences(source.config(), experiment.config)
    for path in (*source.samples.glob("step-*"), source.path / "metrics.jsonl", digest_path(last), last):  # the checkpoint last
        target = run.path / path.relative_to(source.path)
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(path, target)
    run.update_manifest(
        extends={"run": f"{source.path.parent.name}/{source.path.name}", "step": step, "changes": changes},
        initial_weights=source.manifest()["initial_weights"],
    )
    print(f"going on from step {step:,} of {source.path}" + "".join(f"\n  with other {change}" for change in changes))
    return run.checkpoint_path("step", step)


def check_fits(model: Any, checkpoint: Path) -> None:
    """Raise UserError if a checkpoint's weights do not fit the model; else load them."""
    try:
        model.load_state_dict(load_checkpoint(checkpoint)["state_dict"])
    except RuntimeError as error:
        raise UserError(
            f"{checkpoint} is of another model than is asked for: put that back, or leave the checkpoint out"
        ) from error


def promise(changes: list[str], before: dict[str, Any], now: dict[str, Any]) -> str:
    """The part of docs/reproducing.md's promise that still holds for a run that continues with these changes."""
    if any(not change.startswith((*SPLIT, STRATEGY, *MACHINE, *PACKAGES)) for change in changes):
        return "none, this is another training from here on"
    if any(not change.startswith((*SPLIT, STRATEGY)) for change in changes):
        return "its metric falls in the interval of one further seed"
    if "per process" in (before.get("batch_norm"), now["batch_norm"]):
        return "its metric falls in the interval of one further seed (batch norm is over each process's part of the batch)"
    return "equal within rounding over the next steps, but for what looks at one process's part of the batch"


def refusal(run: RunFolder, changes: list[str], over: bool = False) -> str:
    """Message for a command that differs from the run's own. over: the run has finished and cannot continue."""
    another = f"choose another run_dir=, with extend={run.path} to train it longer" if over else "choose another run_dir="
    remedies = ["put it back", another, "add fresh=true to start again"]
    remedies += [] if over else ["add on_change=accept to go on all the same"]
    return f"{run.path} was started with something else ({'; '.join(changes)}): {', '.join(remedies[:-1])}, or {remedies[-1]}"
