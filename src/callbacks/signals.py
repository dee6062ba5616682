"""Ctrl-C and SIGTERM end a run between two blocks of updates, and nothing is lost."""

import signal
from typing import Any

from pytorch_lightning import Callback, Trainer

from src.distributed import is_first, largest
from src.models.model import Model


class StopOnSignal(Callback):
    """The first signal ends the run after the block in progress (`number` says which it was); a second one ends it at once.

    A signal to any of several processes ends them all, after the same block.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self._handlers: dict[int, Any] = {}

    def on_train_start(self, trainer: Trainer, model: Model) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._handlers[number] = signal.signal(number, self._on_signal)

    def on_train_batch_end(self, trainer: Trainer, model: Model, *_: Any) -> None:
        self._agree()
        if self.number is not None:
            trainer.should_stop = True

    def on_train_end(self, trainer: Trainer, model: Model) -> None:
        self._restore_handlers()
        self._agree()  # on what came since the last block

    def _agree(self) -> None:
        self.number = int(largest(self.number or 0)) or None

    def on_exception(self, trainer: Trainer, model: Model, exception: BaseException) -> None:
        self._restore_handlers()

    def _on_signal(self, number: int, _: Any) -> None:
        if self.number is not None:
            raise KeyboardInterrupt
        self.number = number
        if is_first():
            print(f"\n{signal.Signals(number).name}: saving and stopping", flush=True)

    def _restore_handlers(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}
