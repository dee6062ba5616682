"""Progress of long work in one line: rewritten on a terminal, printed at intervals elsewhere."""

import time
from typing import TextIO

TERMINAL_SECONDS, PLAIN_SECONDS = 0.5, 15.0


class Line:
    def __init__(self, stream: TextIO) -> None:
        self.stream, self.terminal = stream, stream.isatty()
        self._shown, self._rewritten = time.monotonic(), False

    def due(self) -> bool:
        return time.monotonic() - self._shown >= (TERMINAL_SECONDS if self.terminal else PLAIN_SECONDS)

    def show(self, text: str) -> None:
        print(f"\r\x1b[K{text}" if self.terminal else text, end="" if self.terminal else "\n", file=self.stream, flush=True)
        self._shown, self._rewritten = time.monotonic(), self.terminal

    def end(self) -> None:
        """End the line, so that the next output begins on a new one."""
        if self._rewritten:
            print(file=self.stream)


def minutes(seconds: float) -> str:
    """Seconds as m:ss."""
    whole, rest = divmod(max(round(seconds), 0), 60)
    return f"{whole}:{rest:02d}"
