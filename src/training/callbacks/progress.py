"""The progress line of a training."""

import os
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from pytorch_lightning import Callback, Trainer

from src.models.model import Model
from src.system.progress import Line, about, minutes
from src.training.callbacks.budget import Budget
from src.training.callbacks.samples import DrawSamples
from src.training.callbacks.validation import Validate

BAR = 20  # characters
FIRST_STEPS, FIRST_SECONDS = 50, 10.0  # after so many steps or seconds, whichever come first, the whole run is estimated
BUSY = 0.6  # a training gets less than this share of one core only if others use it

# A model -> seconds that a validation takes, and the evaluation at the end.
Measure = Callable[[Model], tuple[float, float]]


class Progress(Callback):
    """Prints step, samples/s, time left, the model's scalars and the last validation.

    Once, after the first steps, it also prints about how long the run takes in all, and whether others keep the cores busy.
    Lightning's bars count batches of an epoch; this line counts the whole run, and is readable in a file too.
    """

    def __init__(
        self,
        validate: Validate,
        budget: Budget,
        stop_step: int | None,
        previews: DrawSamples | None = None,
        measure: Measure | None = None,
    ) -> None:
        self.validate, self.budget, self.stop_step = validate, budget, stop_step
        self.previews, self.measure = previews, measure
        self.line = Line(sys.stdout)
        self._last_time = self._start_time = 0.0
        self._start_step = self._last_samples = 0
        self._first: tuple[int, float, float] | None = None  # step, time and CPU time after the first block, a warm-up
        self._estimated = self._busy = False

    def on_train_start(self, trainer: Trainer, model: Model) -> None:
        self._start_time = self._last_time = time.monotonic()
        self._start_step, self._last_samples = model.step, model.samples_seen
        self.check_cores(model, os.getloadavg()[0] > cores())

    def on_train_batch_end(self, trainer: Trainer, model: Model, *_: Any) -> None:
        now = time.monotonic()
        if self._first is None:
            self._first = model.step, now - self.drawing(), time.process_time()
        elif not self._estimated and (model.step - self._start_step >= FIRST_STEPS or now - self._start_time >= FIRST_SECONDS):
            self._estimated = True
            self.estimate(model, now, *self._first)
        if self.line.due():
            self.show(model, time.monotonic())

    def on_train_end(self, trainer: Trainer, model: Model) -> None:
        if model.samples_seen > self._last_samples:  # not shown yet
            self.show(model, time.monotonic())
        self.line.end()

    def estimate(self, model: Model, now: float, step: int, then: float, cpu: float) -> None:
        """Print about how long the run takes from its start to the end of its evaluation, by the steps after `step`."""
        seconds = now - self.drawing() - then
        self.check_cores(model, time.process_time() - cpu < BUSY * seconds)
        per_step, limits = seconds / (model.step - step), []
        if self.stop_step is not None:
            limits.append((self.stop_step - self._start_step) * per_step)
        if self.budget.minutes is not None:
            limits.append(60 * self.budget.minutes - self.budget.seconds + now - self._start_time)
        if not limits:
            return
        training = min(limits)
        text = f"{about(training)} of training"
        if self.measure is not None:
            validation, evaluation = self.measure(model)
            every = self.validate.every
            others = evaluation + (validation * (1 + training / per_step // every) if every else 0.0)
            text = f"{about(training + others)} in all: {text}, {about(others)} of validations and evaluation"
        self.line.say(f"about {text}")

    def check_cores(self, model: Model, busy: bool) -> None:
        """Say once that other programs use the cores, if this run competes for them with several threads."""
        if busy and model.device.type == "cpu" and torch.get_num_threads() > 1 and not self._busy:
            self._busy = True
            self.line.say(f"other programs keep the {cores()} cores busy: trainer.threads=1 may be faster")

    def drawing(self) -> float:
        """Seconds that previews have taken so far: they are more frequent at the beginning."""
        return self.previews.seconds if self.previews else 0.0

    def show(self, model: Model, now: float) -> None:
        rate = (model.samples_seen - self._last_samples) / max(now - self._last_time, 1e-9)
        parts = [f"step {model.step:,}", f"{rate:,.0f} samples/s", f"left {self.left(model, now)}"]
        parts += [f"{name} {value:.3f}" for name, value in model.scalars().items()]
        if self.validate.last is not None:
            digits = ".1f" if self.validate.last >= 0.1 else ".1e"
            when = "" if self.validate.measured_at == model.step else f" at step {self.validate.measured_at:,}"
            parts.append(f"{self.validate.main.name} {self.validate.last:{digits}}{when}")
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


def cores() -> int:
    """Number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
