"""Training a run folder: from its config, or its newest whole checkpoint, to the final weights.

torch and all that needs it are imported when everything that can be checked without them has been.
"""

import logging
import math
import os
import warnings
from pathlib import Path
from typing import Any

from src.config import short_hash
from src.data.dataset import Dataset
from src.environment import MACHINE, PACKAGES, SPLIT, machine, machine_changes, software, software_changes
from src.errors import Diverged, Interrupted, UserError
from src.files import sha256
from src.processes import ALONE, Place, Team
from src.run import RunFolder, build_dataset, build_model


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
    numerics(config, team.place)
    checkpoint = run.newest("step")
    if checkpoint:
        go_on(config, run, dataset, team.place, step_of(checkpoint))
    team.order(follow_fit, config, team.place, run.path, checkpoint, stop, reason)
    learn(config, team.place, run, dataset, checkpoint, stop, reason)


def follow_fit(
    config: dict[str, Any], place: Place, path: Path, checkpoint: Path | None, stop: int | None, reason: str
) -> None:
    """What the other processes do of `fit`."""
    numerics(config, place)
    dataset = build_dataset(config)
    dataset.prepare()
    learn(config, place, RunFolder(path), dataset, checkpoint, stop, reason)


def numerics(config: dict[str, Any], place: Place) -> None:
    """Set up torch in this process."""
    import torch

    from src.numerics import set_numerics

    set_numerics(config["trainer"]["threads"], config["trainer"]["matmul_precision"])
    if not config["trainer"]["threads"] and place.devices > 1:
        torch.set_num_threads(max(1, torch.get_num_threads() // place.devices))
    # Deterministic algorithms are wanted, the costly filling of fresh memory that comes with them is not.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]

    # Numbers below 1e-38 are zero: they take a CPU a hundred times as long as others, and mean nothing here.
    torch.set_flush_denormal(True)


def learn(
    config: dict[str, Any],
    place: Place,
    run: RunFolder,
    dataset: Dataset,
    checkpoint: Path | None,
    stop: int | None,
    reason: str,
) -> None:
    """Train from a checkpoint, or from the start where it is None. All processes do this at once; the first one writes."""
    import torch
    from pytorch_lightning import Trainer

    from src.callbacks.budget import Budget
    from src.callbacks.checkpoint import AtomicCheckpointIO, Checkpoint
    from src.callbacks.profile import Profile
    from src.callbacks.progress import Progress
    from src.callbacks.record import LogScalars, Nowhere, Record, start_wandb
    from src.callbacks.samples import DrawSamples
    from src.callbacks.signals import StopOnSignal
    from src.callbacks.validation import Validate
    from src.data.loader import DataModule
    from src.distributed import is_first, whole
    from src.export import save_safetensors, state_hash
    from src.metrics.extractors import load_extractor
    from src.networks.batch_norm import synchronise
    from src.scoring import validation_measure

    # Lightning's advice is for users of its own loops; its errors still come through.
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
        warnings.filterwarnings("ignore", module=name)
    # It has CUDA asked for through NVML, without a cache: each optimizer step would look for a library that is not there.
    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "0"

    model, first = build_model(config, dataset.spec), is_first()
    if channels_last(config, place):
        model.to(memory_format=torch.channels_last)
    if place.processes > 1 and place.sync_batchnorm:
        synchronise(model)
    model.parts = place.accumulate
    if checkpoint is None and first:
        run.write_config(config)
        run.update_manifest(
            **software(config, dataset.spec.kind),
            **machine(channels_last(config, place)),
            **place.record(),
            data=dataset.hashes(),
            initial_weights=state_hash(model.state_dict()),
            config_hash=short_hash(config),
        )

    extractor = load_extractor(config["evaluation"]["extractor"], config["evaluation"]["weights"])
    validation = config["validation"]
    measure = validation_measure(
        dataset, extractor, validation["samples"], config["evaluation"]["seed"], Path(config["paths"]["cache"])
    )
    record: Record | Nowhere = Nowhere()
    if first:
        step = step_of(checkpoint) if checkpoint else 0
        record = Record(run.path, step, start_wandb(run.path, config), replay=config["logger"]["mode"] == "offline")
    signals = StopOnSignal()
    validate = Validate(run, record, signals, extractor.key("fd"), measure, validation["every"])
    budget = Budget(config["stop"]["minutes"], config["stop"]["distance"], validate, reason)
    callbacks = [
        signals,
        LogScalars(record, config["logger"]["every"]),
        DrawSamples(run.samples, record, signals, dataset.spec.kind, **config["samples"]),
        validate,
        budget,
        *([Progress(validate, budget, stop)] if first else []),
        Checkpoint(run, record, config["checkpoint"]["every"], config["checkpoint"]["keep"]),
    ]
    if config["trainer"]["profile"] and first:
        callbacks.insert(0, Profile(run.path / "profile", config["trainer"]["profile"]))
    data = DataModule(
        dataset,
        batch_size=config["data"]["batch_size"],
        workers=config["data"]["workers"],
        seed=config["seed"],
        d_steps=config["model"].get("d_steps", 1),
        stop=stop,
        block=config["trainer"]["block"],
        cut=lambda step: any(callback.due(step) for callback in callbacks if hasattr(callback, "due")),
    )
    strategy: Any = "auto"
    if place.processes > 1:
        from src.strategy import strategy_of

        strategy = strategy_of(place)
    trainer = Trainer(
        accelerator=place.accelerator,
        devices=place.devices,
        num_nodes=place.nodes,
        strategy=strategy,
        precision=config["trainer"]["precision"],
        max_epochs=1,  # the loader's one epoch is the whole run; the data's epochs are its own business
        deterministic=True,
        callbacks=callbacks,
        plugins=[AtomicCheckpointIO()],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        default_root_dir=run.path,
    )
    finished = False
    try:
        trainer.fit(model, datamodule=data, ckpt_path=checkpoint)
        finished = signals.number is None
    except Diverged as error:
        if first:
            progress = {"step": model.step, "images_seen": model.images_seen, **budget.spent()}
            run.update_manifest(ended={"reason": "diverged", **progress, "message": str(error)})
        raise
    finally:
        record.close(exit_code=0 if finished else 1)
    if signals.number is not None:
        if first:
            print(f"stopped at step {model.step:,}; the same command goes on from there")
        raise Interrupted(signals.number)
    final_weights = state_hash(whole(model.state_dict()))
    if not first:
        return

    save_safetensors(model.sampler(), run.path / "generator.safetensors", {"run": run.path.parent.name})
    run.update_manifest(
        device=trainer.strategy.root_device.type,
        extractor={"name": extractor.name, "weights_sha256": extractor.weights_sha256},
        final_weights=final_weights,
        samples={path.name: sha256(path) for path in sorted(run.samples.glob("step-*.png"))},
        ended={
            "reason": budget.reason,
            "step": model.step,
            "images_seen": model.images_seen,
            **budget.spent(),
            "best_step": validate.best_step,
            "best_distance": validate.best,
        },
    )


def channels_last(config: dict[str, Any], place: Place) -> bool:
    """Whether convolutions' weights lie in memory with their channels last, which FSDP does not take."""
    return config["trainer"]["channels_last"] and place.strategy != "fsdp"


def step_of(checkpoint: Path) -> int:
    return int(checkpoint.stem.removeprefix("step-"))


def go_on(config: dict[str, Any], run: RunFolder, dataset: Dataset, place: Place, step: int) -> None:
    """Refuse to continue with what makes another result than the run's beginning, or note it down where that is wanted."""
    manifest = run.manifest()
    changes = run.changes(config, dataset.hashes())
    changes += software_changes(manifest, software(config, dataset.spec.kind))
    changes += machine_changes(manifest, machine(channels_last(config, place)) | place.record())
    if changes and config["on_change"] != "accept":
        raise UserError(changed(run, changes))
    if changes:
        run.write_config(config)
        note = {"step": step, "changes": changes, "promise": promise(changes, manifest, place)}
        run.update_manifest(continued=[*manifest.get("continued", []), note])
    print(f"going on from step {step:,}" + "".join(f"\n  with other {change}" for change in changes))
    if changes:
        print(f"  the promise: {note['promise']}")


def promise(changes: list[str], before: dict[str, Any], place: Place) -> str:
    """Which part of README's promise a run keeps that goes on with these changes."""
    if any(not change.startswith((*SPLIT, *MACHINE, *PACKAGES)) for change in changes):
        return "none, this is another training from here on"
    if any(not change.startswith(SPLIT) for change in changes):
        return "its metric falls in the interval of one further seed"
    if "per process" in (before.get("batch_norm"), place.record()["batch_norm"]):
        return "its metric falls in the interval of one further seed (batch norm is over each process's part of the batch)"
    return "equal within rounding over the next steps, but for what looks at one process's part of the batch"


def changed(run: RunFolder, changes: list[str]) -> str:
    """What to say to someone whose command is not the one that this run was started with."""
    return (
        f"{run.path} was started with something else ({'; '.join(changes)}): put it back, choose another run_dir=, add "
        "fresh=true to start again, or on_change=accept to go on all the same"
    )
