"""One line that says where training stands."""

import sys
import time
from typing import Any

from pytorch_lightning import Callback, Trainer

from src.models.model import Model
from src.models.training import Training
from src.system.progress import Line, minutes
from src.training.callbacks.budget import Budget
from src.training.callbacks.validation import Validate

BAR = 20  # characters


class Progress(Callback):
    """Step, images/s, time left, losses, D(real), D(fake) and the last validation distance."""

    def __init__(self, validate: Validate, budget: Budget, stop_step: int | None) -> None:
        self.validate, self.budget, self.stop_step = validate, budget, stop_step
        self.line = Line(sys.stdout)
        self._last_time = self._start_time = 0.0
        self._start_step = self._last_images = 0

    def on_train_start(self, trainer: Trainer, training: Training) -> None:
        self._start_time = self._last_time = time.monotonic()
        model = training.model
        self._start_step, self._last_images = model.step, model.images_seen

    def on_train_batch_end(self, trainer: Trainer, training: Training, *_: Any) -> None:
        if self.line.due():
            self.show(training.model, time.monotonic())

    def on_train_end(self, trainer: Trainer, training: Training) -> None:
        model = training.model
        if model.images_seen > self._last_images:  # not shown yet
            self.show(model, time.monotonic())
        self.line.end()

    def show(self, model: Model, now: float) -> None:
        rate = (model.images_seen - self._last_images) / max(now - self._last_time, 1e-9)
        parts = [f"step {model.step:,}", f"{rate:,.0f} images/s", f"left {self.left(model, now)}"]
        parts += [f"{name} {value:.3f}" for name, value in model.scalars().items()]
        if self.validate.last is not None:
            digits = ".1f" if self.validate.last >= 0.1 else ".1e"
            parts.append(f"{self.validate.name} {self.validate.last:{digits}}")
        if self.stop_step is not None and self.line.terminal:
            done = BAR * model.step // self.stop_step
            parts.insert(0, f"[{'#' * done}{'.' * (BAR - done)}]")
        self.line.show("  ".join(parts))
        self._last_time, self._last_images = now, model.images_seen

    def left(self, model: Model, now: float) -> str:
        """Time to the end of the budget that comes first, as m:ss."""
        estimates = []
        done = model.step - self._start_step
        if self.stop_step is not None and done:
            estimates.append((self.stop_step - model.step) * (now - self._start_time) / done)
        if self.budget.minutes is not None:
            estimates.append(60 * self.budget.minutes - self.budget.seconds)
        return minutes(min(estimates)) if estimates else "?"
