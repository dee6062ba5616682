"""Measure the suite's main metric on the validation split during training, and keep the best checkpoint."""

from collections.abc import Callable
from typing import Any

import torch
from pytorch_lightning import Callback, Trainer

from src.evaluation.suite import Main, number
from src.models.model import Model
from src.parallel.collectives import from_first
from src.runs.checkpoints import is_intact
from src.runs.folder import RunFolder
from src.training.callbacks.checkpoint import check_finite
from src.training.callbacks.stop_on_signal import StopOnSignal
from src.training.loggers import Record
from src.training.schedules import is_every

VALIDATION = "validation/"


class Validate(Callback):
    """Every `every` steps and at the end: log `measure(model)` as validation/<main>, and save the best checkpoint so far.

    Earlier best ones are deleted at the next ordinary checkpoint (`Checkpoint`): until then, a resumed run may need them.
    """

    def __init__(
        self,
        run: RunFolder,
        record: Record,
        signals: StopOnSignal,
        main: Main,
        measure: Callable[[Model], float],
        every: int | None,
    ) -> None:
        self.run, self.record, self.signals = run, record, signals
        self.main, self.measure, self.every = main, measure, every
        self.last: float | None = None
        self.best: float | None = None
        self.best_step: int | None = None
        self.measured_at: int | None = None

    def due(self, step: int) -> bool:
        return self.every is not None and is_every(step, self.every)

    def on_train_start(self, trainer: Trainer, model: Model) -> None:
        def is_there() -> bool:
            self.run.drop_later("best", model.step)
            return self.best_step is not None and is_intact(self.run.checkpoint_path("best", self.best_step))

        if not from_first(is_there):  # the resumed checkpoint's best one no longer exists
            self.best = self.best_step = None

    def on_train_batch_end(self, trainer: Trainer, model: Model, *_: Any) -> None:
        if self.due(model.step):
            self.validate(trainer, model)

    def on_train_end(self, trainer: Trainer, model: Model) -> None:
        if self.signals.number is None and self.every is not None:
            self.validate(trainer, model)

    def validate(self, trainer: Trainer, model: Model) -> None:
        if model.step == self.measured_at:
            return
        check_finite(model)
        self.last, self.measured_at = number(self.main.name, self.measure(model)), model.step
        name = f"{VALIDATION}{self.main.name}"
        self.record.scalars(model.step, model.samples_seen, {name: self.last})
        trainer.callback_metrics[name] = torch.tensor(self.last)
        if self.main.improves(self.last, self.best):
            self.best, self.best_step = self.last, model.step
            trainer.save_checkpoint(self.run.checkpoint_path("best", model.step))

    def state_dict(self) -> dict[str, Any]:
        return {"last": self.last, "best": self.best, "best_step": self.best_step, "measured_at": self.measured_at}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.last, self.best, self.best_step = state["last"], state["best"], state["best_step"]
        self.measured_at = state["measured_at"]
