"""The training, the same in every rank: from initial weights or a checkpoint to the final weights."""

import logging
import os
import signal
import traceback
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.callbacks import ProgressBar
from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from src.config.errors import Diverged, Interrupted, UserError
from src.config.experiment import Cadence, StopRule, TrainerSettings
from src.data.dataset import Dataset
from src.data.loader import DataModule, failure
from src.evaluation.suite import Suite
from src.models.capabilities import Samples
from src.models.conditions import conditions_for
from src.models.model import Model, OneLoss
from src.parallel.batch_norm import synchronise
from src.parallel.collectives import is_first
from src.parallel.launch import in_collective
from src.parallel.place import Place
from src.runs.checkpoints import step_of
from src.runs.export import save_safetensors, state_hash
from src.runs.folder import RunFolder
from src.system.files import sha256
from src.training.callbacks.budget import Budget
from src.training.callbacks.checkpoint import AtomicCheckpointIO, Checkpoint
from src.training.callbacks.profile import Profile
from src.training.callbacks.progress import Progress
from src.training.callbacks.samples import FIXED_SEEDS, DrawSamples
from src.training.callbacks.scalars import LogScalars
from src.training.callbacks.stop_on_signal import StopOnSignal
from src.training.callbacks.validation import VALIDATION, Validate
from src.training.loggers import NoRecord, Record


def fit(
    run: RunFolder,
    model: Model,
    dataset: Dataset,
    suite: Suite,
    modality: Any,
    *,
    stop: StopRule,
    cadence: Cadence,
    settings: TrainerSettings,
    place: Place,
    batch_size: int,
    workers: int = 0,
    checkpoint: Path | None = None,
    loggers: Sequence[Logger] = (),
    replay: bool = True,
    callbacks: Sequence[Callback] = (),
    evaluate: bool = True,
) -> None:
    """Train until `stop`, from a checkpoint or from the model's initial weights, and record the end in the manifest.

    loggers: rank 0's; other ranks pass the same number of `DummyLogger`s. replay: whether the loggers get the scalars from
    before the checkpoint again. callbacks: the user's. evaluate: whether an evaluation follows, which the estimate of the time
    counts.
    Raises Diverged, which the manifest records too, and Interrupted after a signal, when everything is saved.
    """
    quiet_lightning()
    place_model(model, settings, place)
    last_step, reason = stop.last_step(len(dataset.split("train")), batch_size * model.batches_per_update)
    step = step_of(checkpoint) if checkpoint else 0
    record = Record(run.path, step, loggers, replay and checkpoint is not None) if is_first() else NoRecord()
    signals = StopOnSignal()
    validate = Validate(run, record, signals, suite.main, lambda model: suite.validate(model, dataset), cadence.validate)
    budget = Budget(last_step, stop.minutes, stop.target, validate, reason)
    own: list[Any] = [signals, LogScalars(record, cadence.log)]
    if settings.profile and is_first():
        own.insert(0, Profile(run.path / "profile", settings.profile))
    previews = None
    if isinstance(model, Samples) and cadence.previews:
        seeds, sources = range(FIXED_SEEDS, FIXED_SEEDS + cadence.previews), None
        if {"source", "caption", "layout"} & set(model.conditions([0])):
            unseen = dataset.split("validation")
            sources = conditions_for(model, unseen, np.arange(cadence.previews) % len(unseen), seeds)
        previews = DrawSamples(run.samples, record, signals, modality, seeds, cadence.per_decade, sources)
        own.append(previews)
    own += [validate, budget]
    if is_first() and not any(isinstance(callback, ProgressBar) for callback in callbacks):
        seconds = getattr(suite, "seconds", None)
        measure = partial(seconds, dataset=dataset) if seconds and evaluate and not model.sharded else None
        own.append(Progress(validate, budget, last_step, previews, measure))
    own.append(Checkpoint(run, record, signals, cadence.checkpoint, cadence.keep))
    data = DataModule(
        dataset,
        batch_size=batch_size,
        seed=model.seed,
        workers=workers,
        stop=last_step,
        block=settings.block,
        cut=lambda step: any(callback.due(step) for callback in own if hasattr(callback, "due")),
    )
    trainer = make_trainer(settings, place, run.path, [*callbacks, *own], loggers)
    finished = False
    try:
        trainer.fit(model, datamodule=data, ckpt_path=checkpoint)
        finished = signals.number is None
    except Diverged as error:
        if is_first():
            run.update_manifest(ended={"reason": "diverged", **model.clock(), **budget.spent(), "message": str(error)})
        raise
    except Exception as error:
        if signals.noted is not None and in_collective(error):  # another rank has died, and the launcher ends this one
            raise Interrupted(signals.noted, agreed=False) from error
        if (answer := explained(error, callbacks)) is None:
            raise
        raise answer from error
    except SystemExit as error:  # Lightning's, after a second Ctrl-C
        if isinstance(error.__context__, KeyboardInterrupt):
            raise Interrupted(signals.noted or signal.SIGINT, agreed=False) from None
        raise
    finally:
        signals.release()
        record.close(exit_code=0 if finished else 1)
    if signals.number is not None:
        if is_first():
            print(f"stopped at step {model.step:,}; the same command goes on from there, fresh=true starts again")
        raise Interrupted(signals.number)
    if is_first():
        save_safetensors(model.network(), run.path / "weights.safetensors", {"run": run.path.parent.name})
        run.update_manifest(
            device=trainer.strategy.root_device.type,
            final_weights=state_hash(model.state_dict()),
            samples={path.name: sha256(path) for path in sorted(run.samples.glob("step-*"))},
            ended={
                "reason": budget.reason,
                **model.clock(),
                **budget.spent(),
                "best_step": validate.best_step,
                "best": validate.best,
            },
        )


def explained(error: Exception, callbacks: Sequence[Callback]) -> UserError | None:
    """One line for what a user can mend of an error in a training; None for others, and for faults in the user's own code."""
    text = " ".join(str(error).split())
    if line := failure(error):
        return UserError(line)
    if "more than 1 value per channel" in text:
        return UserError("batch norm needs more than one sample at a time: raise data.batch_size")
    if isinstance(error, MisconfigurationException):
        return UserError(f"Lightning says: {text}{' (logger=csv gives it one)' if 'has no logger' in text else ''}")
    for frame, _ in traceback.walk_tb(error.__traceback__):
        raised_by = frame.f_locals.get("self")
        if type(raised_by).__module__.startswith("pytorch_lightning.") and any(raised_by is one for one in callbacks):
            hint = " (it exists after the first validation: see validation.every)" if f"`{VALIDATION}" in text else ""
            return UserError(f"{type(raised_by).__name__} says: {text}{hint}")
    return None


def quiet_lightning() -> None:
    """Hide Lightning's warnings, which are about its own loops; its errors are still shown."""
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
        warnings.filterwarnings("ignore", module=name)
    # Lightning makes torch look for CUDA through NVML, uncached: without a GPU, each optimizer step would search the library.
    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "0"


def place_model(model: Model, settings: TrainerSettings, place: Place) -> None:
    """Give a model the memory layout and the batch norm that its place needs; UserError if it cannot be sharded."""
    if settings.channels_last:
        model.to(memory_format=torch.channels_last)
    if place.processes > 1 and settings.sync_batchnorm:
        synchronise(model)
    model.sharded = place.strategy == "fsdp"
    if model.sharded and not (isinstance(model, OneLoss) and len(model.configure_optimizers()) == 1):
        raise UserError("trainer=fsdp is for rules with one loss and one optimizer: take trainer=ddp")


def make_trainer(
    settings: TrainerSettings, place: Place, folder: Path, callbacks: Sequence[Callback], loggers: Sequence[Logger]
) -> Trainer:
    """Lightning's Trainer with the user's arguments; checkpoints are ours and those of a user's ModelCheckpoint."""
    own: dict[str, Any] = {
        "accelerator": settings.accelerator,
        "devices": place.devices,
        "num_nodes": place.nodes,
        "strategy": place.lightning_strategy(),
        "precision": settings.precision,
        "deterministic": settings.deterministic,
        "max_epochs": -1,  # Budget ends the training
        "callbacks": list(callbacks),
        "plugins": [AtomicCheckpointIO()],
        "logger": list(loggers) or False,
        "log_every_n_steps": 1,  # of Lightning's batches, which are blocks of updates
        "enable_progress_bar": any(isinstance(callback, ProgressBar) for callback in callbacks),
        "enable_model_summary": False,
        "use_distributed_sampler": False,
        "default_root_dir": folder,
    }
    try:
        return Trainer(**{**own, **settings.arguments})
    except (TypeError, ValueError, RuntimeError, MisconfigurationException) as error:
        raise UserError(f"trainer: {' '.join(str(error).split())}: see pytorch_lightning.Trainer for its arguments") from error
