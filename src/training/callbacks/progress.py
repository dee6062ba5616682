"""The progress line of a training."""

import sys
import time
from typing import Any

from pytorch_lightning import Callback, Trainer

from src.models.model import Model
from src.system.progress import Line, minutes
from src.training.callbacks.budget import Budget
from src.training.callbacks.validation import Validate

BAR = 20  # characters


class Progress(Callback):
    """Prints step, samples/s, time left, the model's scalars and the last validation.

    Lightning's bars count batches of an epoch; this line counts the whole run, and is readable in a file too.
    """

    def __init__(self, validate: Validate, budget: Budget, stop_step: int | None) -> None:
        self.validate, self.budget, self.stop_step = validate, budget, stop_step
        self.line = Line(sys.stdout)
        self._last_time = self._start_time = 0.0
        self._start_step = self._last_samples = 0

    def on_train_start(self, trainer: Trainer, model: Model) -> None:
        self._start_time = self._last_time = time.monotonic()
        self._start_step, self._last_samples = model.step, model.samples_seen

    def on_train_batch_end(self, trainer: Trainer, model: Model, *_: Any) -> None:
        if self.line.due():
            self.show(model, time.monotonic())

    def on_train_end(self, trainer: Trainer, model: Model) -> None:
        if model.samples_seen > self._last_samples:  # not shown yet
            self.show(model, time.monotonic())
        self.line.end()

    def show(self, model: Model, now: float) -> None:
        rate = (model.samples_seen - self._last_samples) / max(now - self._last_time, 1e-9)
        parts = [f"step {model.step:,}", f"{rate:,.0f} samples/s", f"left {self.left(model, now)}"]
        parts += [f"{name} {value:.3f}" for name, value in model.scalars().items()]
        if self.validate.last is not None:
            digits = ".1f" if self.validate.last >= 0.1 else ".1e"
            parts.append(f"{self.validate.main.name} {self.validate.last:{digits}}")
        if self.stop_step is not None and self.line.terminal:
            done = BAR * model.step // self.stop_step
            parts.insert(0, f"[{'#' * done}{'.' * (BAR - done)}]")
        self.line.show("  ".join(parts))
        self._last_time, self._last_samples = now, model.samples_seen

    def left(self, model: Model, now: float) -> str:
        """Time to the end of the budget that comes first, as m:ss."""
        estimates = []
        done = model.step - self._start_step
        if self.stop_step is not None and done:
            estimates.append((self.stop_step - model.step) * (now - self._start_time) / done)
        if self.budget.minutes is not None:
            estimates.append(60 * self.budget.minutes - self.budget.seconds)
        return minutes(min(estimates)) if estimates else "?"
