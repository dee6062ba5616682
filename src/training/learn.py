"""The training itself, the same in every process of a run; the first one writes. `fit` has decided where it goes on from."""

import logging
import os
import signal
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, Trainer

from src.config.checks import short_hash
from src.config.errors import Diverged, Interrupted, UserError
from src.data.dataset import Dataset
from src.data.loader import DataModule
from src.evaluation.extractors.extractor import Extractor, load_extractor
from src.evaluation.scoring import validation_measure
from src.models.model import Model
from src.models.training import Training
from src.parallel.batch_norm import synchronise
from src.parallel.collectives import is_first, whole
from src.parallel.place import Place
from src.runs.checkpoints import step_of
from src.runs.export import save_safetensors, state_hash
from src.runs.folder import RunFolder, build_model
from src.runs.manifest import software
from src.system.files import sha256
from src.system.numerics import here
from src.training.callbacks.budget import Budget
from src.training.callbacks.checkpoint import AtomicCheckpointIO, Checkpoint
from src.training.callbacks.profile import Profile
from src.training.callbacks.progress import Progress
from src.training.callbacks.record import LogScalars, Nowhere, Record, start_wandb
from src.training.callbacks.samples import DrawSamples
from src.training.callbacks.stop_on_signal import StopOnSignal
from src.training.callbacks.validation import Validate


def learn(
    config: dict[str, Any],
    place: Place,
    run: RunFolder,
    dataset: Dataset,
    checkpoint: Path | None,
    stop: int | None,
    reason: str,
) -> None:
    """Train from a checkpoint, or from the start where it is None, up to step `stop`, where `reason` says what is used up."""
    quiet_lightning()
    first = is_first()
    model = placed(build_model(config, dataset.spec), config, place)
    extractor = load_extractor(config["evaluation"]["extractor"], config["evaluation"]["weights"])
    if checkpoint is None and first:
        begin(config, place, run, dataset, model)

    record: Record | Nowhere = Nowhere()
    if first:
        step = step_of(checkpoint) if checkpoint else 0
        record = Record(run.path, step, start_wandb(run.path, config), replay=config["logger"]["mode"] == "offline")
    signals = StopOnSignal()
    measure = validation_measure(
        dataset, extractor, config["validation"]["samples"], config["evaluation"]["seed"], Path(config["paths"]["cache"])
    )
    validate = Validate(run, record, signals, extractor.key("fd"), measure, config["validation"]["every"])
    budget = Budget(config["stop"]["minutes"], config["stop"]["distance"], validate, reason)
    profiled = config["trainer"]["profile"] and first
    callbacks = [
        *([Profile(run.path / "profile", config["trainer"]["profile"])] if profiled else []),
        signals,
        LogScalars(record, config["logger"]["every"]),
        DrawSamples(run.samples, record, signals, dataset.spec.kind, **config["samples"]),
        validate,
        budget,
        *([Progress(validate, budget, stop)] if first else []),
        Checkpoint(run, record, config["checkpoint"]["every"], config["checkpoint"]["keep"]),
    ]
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
    trainer = make_trainer(config, place, run, callbacks)
    finished = False
    try:
        trainer.fit(Training(model), datamodule=data, ckpt_path=checkpoint)
        finished = signals.number is None
    except Diverged as error:
        if first:
            progress = {"step": model.step, "images_seen": model.images_seen, **budget.spent()}
            run.update_manifest(ended={"reason": "diverged", **progress, "message": str(error)})
        raise
    except ValueError as error:
        if "more than 1 value per channel" in str(error):
            raise UserError(
                "batch norm needs more than one sample at a time: raise data.batch_size, or take fewer parts"
            ) from error
        raise
    except SystemExit as error:  # Lightning's, after a second Ctrl-C
        if isinstance(error.__context__, KeyboardInterrupt):
            raise Interrupted(signals.noted or signal.SIGINT, agreed=False) from None
        raise
    finally:
        signals.release()
        record.close(exit_code=0 if finished else 1)
    if signals.number is not None:
        if first:
            again = "the same command without fresh=true" if config["fresh"] else "the same command"
            print(f"stopped at step {model.step:,}; {again} goes on from there")
        raise Interrupted(signals.number)
    final_weights = state_hash(whole(model.state_dict()))
    if first:
        device = trainer.strategy.root_device.type
        end(run, model, extractor, budget, validate, device=device, final_weights=final_weights)


def quiet_lightning() -> None:
    """Its advice is for users of its own loops; its errors still come through."""
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
        warnings.filterwarnings("ignore", module=name)
    # It has CUDA asked for through NVML, without a cache: each optimizer step would look for a library that is not there.
    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "0"


def placed(model: Any, config: dict[str, Any], place: Place) -> Any:
    """A model as it is trained in this place."""
    if place.channels_last(config):
        model.to(memory_format=torch.channels_last)
    if place.processes > 1 and place.sync_batchnorm:
        synchronise(model)
    model.parts = place.accumulate
    return model


def make_trainer(config: dict[str, Any], place: Place, run: RunFolder, callbacks: Iterable[Callback]) -> Trainer:
    """Lightning's trainer, without what this project does itself."""
    strategy: Any = "auto"
    if place.processes > 1:
        from src.parallel.strategy import strategy_of  # FSDP's import takes a second

        strategy = strategy_of(place)
    trainer = Trainer(
        accelerator=place.accelerator,
        devices=place.devices,
        num_nodes=place.nodes,
        strategy=strategy,
        precision=config["trainer"]["precision"],
        max_epochs=1,  # the loader's one epoch is the whole run; the data's epochs are its own business
        deterministic=True,
        callbacks=list(callbacks),
        plugins=[AtomicCheckpointIO()],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        default_root_dir=run.path,
    )
    # Signals are StopOnSignal's: Lightning's handler of SIGTERM sends a message, for which no other process waits.
    trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]
    return trainer


def begin(config: dict[str, Any], place: Place, run: RunFolder, dataset: Dataset, model: Model) -> None:
    """What is written of a run before its first update."""
    run.write_config(config)
    run.begin_manifest(
        **software(config, dataset.spec.kind),
        **here(config, place),
        data=dataset.hashes(),
        initial_weights=state_hash(model.state_dict()),
        config_hash=short_hash(config),
    )


def end(
    run: RunFolder, model: Model, extractor: Extractor, budget: Budget, validate: Validate, device: str, final_weights: str
) -> None:
    """What is written of a run after its last update."""
    save_safetensors(model.sampler(), run.path / "generator.safetensors", {"run": run.path.parent.name})
    run.update_manifest(
        device=device,
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
