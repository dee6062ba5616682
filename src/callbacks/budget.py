"""When a run ends: its budget is used up, it is good enough, or a signal asks it to stop."""

import signal
import time
from typing import Any

from pytorch_lightning import Callback, Trainer

from src.callbacks.validation import Validate
from src.models.model import Model


class Budget(Callback):
    """Stops at `minutes` of training (all sittings together), at a validation distance below `distance`, or on a signal.

    Images and epochs are the data loader's business: it has no further batch. `reason` says what ended the run.
    """

    def __init__(self, minutes: float | None, distance: float | None, validate: Validate, images_reason: str) -> None:
        self.minutes, self.distance, self.validate = minutes, distance, validate
        self.reason = images_reason
        self.signal: int | None = None
        self.seconds = 0.0
        self._earlier, self._started = 0.0, 0.0
        self._handlers: dict[int, Any] = {}

    def on_train_start(self, trainer: Trainer, model: Model) -> None:
        self._started = time.monotonic()
        for number in (signal.SIGINT, signal.SIGTERM):
            self._handlers[number] = signal.signal(number, self._on_signal)

    def on_train_batch_end(self, trainer: Trainer, model: Model, *_: Any) -> None:
        self.seconds = self._earlier + time.monotonic() - self._started
        if self.signal is not None:
            self._stop(trainer, "signal")
        elif self.distance is not None and self.validate.last is not None and self.validate.last <= self.distance:
            self._stop(trainer, "distance")
        elif self.minutes is not None and self.seconds >= 60 * self.minutes:
            self._stop(trainer, "minutes")

    def on_train_end(self, trainer: Trainer, model: Model) -> None:
        self._restore_handlers()

    def on_exception(self, trainer: Trainer, model: Model, exception: BaseException) -> None:
        self._restore_handlers()

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self.seconds}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.seconds = self._earlier = state["seconds"]

    def _stop(self, trainer: Trainer, reason: str) -> None:
        self.reason = reason
        trainer.should_stop = True

    def _on_signal(self, number: int, _: Any) -> None:
        """The first signal ends the run after the block in progress; a second Ctrl-C ends it at once."""
        if self.signal is not None:
            raise KeyboardInterrupt
        self.signal = number
        print(f"\n{signal.Signals(number).name}: saving and stopping", flush=True)

    def _restore_handlers(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}
