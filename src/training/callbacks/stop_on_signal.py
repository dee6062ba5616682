"""Ctrl-C and SIGTERM end a run between two blocks of updates, without losing any of them."""

from typing import Any

from pytorch_lightning import Callback, Trainer

from src.models.model import Model
from src.parallel.collectives import is_first, largest
from src.system.signals import NotedSignals


class StopOnSignal(Callback):
    """The first signal ends the run after the block in progress (`number` says which it was); a second one ends it at once.

    A signal to any of several processes ends them all, after the same block.
    """

    number: int | None = None  # of the signal that all processes have agreed on

    def __init__(self) -> None:
        self._noted = NotedSignals("saving and stopping" if is_first() else "")

    def setup(self, trainer: Trainer, model: Model, stage: str) -> None:
        self._noted.catch()

    def on_train_start(self, trainer: Trainer, model: Model) -> None:
        self._noted.catch()  # Lightning has set its own handler meanwhile

    def on_train_batch_end(self, trainer: Trainer, model: Model, *_: Any) -> None:
        self._agree()
        if self.number is not None:
            trainer.should_stop = True

    def on_train_end(self, trainer: Trainer, model: Model) -> None:
        self._agree()  # on signals since the last block

    def on_fit_end(self, trainer: Trainer, model: Model) -> None:
        self._agree()  # on signals during the last validation and checkpoint

    def release(self) -> None:
        """Restore the signal handlers from before `setup`; to be called after the training, even a failed one."""
        self._noted.release()

    @property
    def noted(self) -> int | None:
        """The signal that this process has received, if any."""
        return self._noted.number

    def _agree(self) -> None:
        # A signal during this call stays noted for the next one.
        self.number = int(largest(self._noted.number or 0)) or None
