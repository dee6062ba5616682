"""Handlers that store Ctrl-C and SIGTERM, so that the program can stop at a safe point."""

import signal
import time
from typing import Any, Self

REPEAT_SECONDS = 2.0  # within this time the same signal counts once


class NotedSignals:
    """Between `catch` and `release`, stores the first signal in `number`; a second signal raises KeyboardInterrupt.

    The same signal within `REPEAT_SECONDS` counts once: a terminal or scheduler sends it to all processes, and the launcher
    also forwards it to its ranks.

    answer: text to print after the name of the first signal; "" prints nothing.
    """

    def __init__(self, answer: str) -> None:
        self.answer = answer
        self.number: int | None = None
        self._since = 0.0
        self._handlers: dict[int, Any] = {}

    def catch(self) -> None:
        """Install the handlers. Call it again after another library replaced them (Lightning, before `on_train_start`)."""
        for number in (signal.SIGINT, signal.SIGTERM):
            self._handlers.setdefault(number, signal.getsignal(number))
            signal.signal(number, self._note)

    def release(self) -> None:
        while self._handlers:
            signal.signal(*self._handlers.popitem())

    def __enter__(self) -> Self:
        self.catch()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def _note(self, number: int, _: Any) -> None:
        if number == self.number and time.monotonic() - self._since < REPEAT_SECONDS:
            return
        if self.number is not None:
            raise KeyboardInterrupt
        self.number, self._since = number, time.monotonic()
        if self.answer:
            print(f"\n{signal.Signals(number).name}: {self.answer}", flush=True)
