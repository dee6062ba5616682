"""Ctrl-C and SIGTERM, noted until there is a good moment to stop."""

import signal
import time
from typing import Any, Self

ONCE = 2.0  # seconds


class NotedSignals:
    """From `catch` to `release` the first signal is noted in `number`; a second one raises KeyboardInterrupt.

    The same signal within `ONCE` seconds counts once: a terminal or scheduler sends it to all processes, and the launcher,
    which gets it too, passes it on to its ranks.

    answer: what is printed after the first one's name; "" prints nothing.
    """

    def __init__(self, answer: str) -> None:
        self.answer = answer
        self.number: int | None = None
        self._since = 0.0
        self._handlers: dict[int, Any] = {}

    def catch(self) -> None:
        """Again after another library has set its own handlers (Lightning does, before `on_train_start`): they are dropped."""
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
        if number == self.number and time.monotonic() - self._since < ONCE:
            return
        if self.number is not None:
            raise KeyboardInterrupt
        self.number, self._since = number, time.monotonic()
        if self.answer:
            print(f"\n{signal.Signals(number).name}: {self.answer}", flush=True)
