"""When a run ends: its budget is used up, or it is good enough."""

import time
from typing import Any

from pytorch_lightning import Callback, Trainer

from src.callbacks.validation import Validate
from src.models.model import Model


class Budget(Callback):
    """Stops at `minutes` of training (all sittings together) or at a validation distance of at most `distance`.

    Images and epochs are the data loader's business: it has no further batch. `reason` says what ended the run; it is
    `otherwise` until one of the two did.
    """

    def __init__(self, minutes: float | None, distance: float | None, validate: Validate, otherwise: str) -> None:
        self.minutes, self.distance, self.validate, self.reason = minutes, distance, validate, otherwise
        self.seconds = 0.0
        self._earlier = self._started = 0.0

    def on_train_start(self, trainer: Trainer, model: Model) -> None:
        self._started = time.monotonic()

    def on_train_batch_end(self, trainer: Trainer, model: Model, *_: Any) -> None:
        self.seconds = self._earlier + time.monotonic() - self._started
        if self.distance is not None and self.validate.last is not None and self.validate.last <= self.distance:
            self._stop(trainer, "distance")
        elif self.minutes is not None and self.seconds >= 60 * self.minutes:
            self._stop(trainer, "minutes")

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self.seconds}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.seconds = self._earlier = state["seconds"]

    def _stop(self, trainer: Trainer, reason: str) -> None:
        self.reason = reason
        trainer.should_stop = True
