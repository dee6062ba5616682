"""One line that says where training stands: rewritten in a terminal, printed now and then elsewhere."""

import sys
import time
from typing import Any

from pytorch_lightning import Callback, Trainer

from src.callbacks.budget import Budget
from src.callbacks.validation import Validate
from src.models.model import Model

TERMINAL_SECONDS, PLAIN_SECONDS = 0.5, 15.0
BAR = 20  # characters


class Progress(Callback):
    """Step, images/s, time left, losses, D(real), D(fake) and the last validation distance."""

    def __init__(self, validate: Validate, budget: Budget, stop_step: int | None) -> None:
        self.validate, self.budget, self.stop_step = validate, budget, stop_step
        self.terminal = sys.stdout.isatty()
        self._last_time = self._start_time = 0.0
        self._start_step = self._last_images = 0

    def on_train_start(self, trainer: Trainer, model: Model) -> None:
        self._start_time = self._last_time = time.monotonic()
        self._start_step, self._last_images = model.step, model.images_seen

    def on_train_batch_end(self, trainer: Trainer, model: Model, *_: Any) -> None:
        now = time.monotonic()
        if now - self._last_time >= (TERMINAL_SECONDS if self.terminal else PLAIN_SECONDS):
            self.show(model, now)

    def on_train_end(self, trainer: Trainer, model: Model) -> None:
        if model.images_seen > self._last_images:  # not shown yet
            self.show(model, time.monotonic())
        if self.terminal:
            print()

    def show(self, model: Model, now: float) -> None:
        rate = (model.images_seen - self._last_images) / max(now - self._last_time, 1e-9)
        parts = [f"step {model.step:,}", f"{rate:,.0f} images/s", f"left {self.left(model, now)}"]
        parts += [f"{name} {value:.3f}" for name, value in model.scalars().items()]
        if self.validate.last is not None:
            digits = ".1f" if self.validate.last >= 0.1 else ".1e"
            parts.append(f"{self.validate.name} {self.validate.last:{digits}}")
        if self.stop_step is not None and self.terminal:
            done = BAR * model.step // self.stop_step
            parts.insert(0, f"[{'#' * done}{'.' * (BAR - done)}]")
        line = "  ".join(parts)
        print(f"\r\x1b[K{line}" if self.terminal else line, end="" if self.terminal else "\n", flush=True)
        self._last_time, self._last_images = now, model.images_seen

    def left(self, model: Model, now: float) -> str:
        """Time to the end of the budget that comes first, as m:ss."""
        estimates = []
        done = model.step - self._start_step
        if self.stop_step is not None and done:
            estimates.append((self.stop_step - model.step) * (now - self._start_time) / done)
        if self.budget.minutes is not None:
            estimates.append(60 * self.budget.minutes - self.budget.seconds)
        if not estimates:
            return "?"
        minutes, seconds = divmod(max(round(min(estimates)), 0), 60)
        return f"{minutes}:{seconds:02d}"
