"""Progress of long work in one line: rewritten on a terminal, printed at intervals elsewhere."""

import time
from typing import TextIO

TERMINAL_SECONDS, PLAIN_SECONDS = 0.5, 15.0


class Line:
    def __init__(self, stream: TextIO) -> None:
        self.stream, self.terminal = stream, stream.isatty()
        self._began = self._shown = time.monotonic()
        self._rewritten = False

    def due(self) -> bool:
        return time.monotonic() - self._shown >= (TERMINAL_SECONDS if self.terminal else PLAIN_SECONDS)

    def show(self, text: str) -> None:
        print(f"\r\x1b[K{text}" if self.terminal else text, end="" if self.terminal else "\n", file=self.stream, flush=True)
        self._shown, self._rewritten = time.monotonic(), self.terminal

    def count(self, done: int, total: int, noun: str) -> None:
        """Show, if it is due, how many of `total` are done since this line was made, the rate and the time left."""
        if self.due():
            rate = done / (time.monotonic() - self._began)
            self.show(f"{done:,} of {total:,} {noun}  {rate:,.0f}/s  left {minutes((total - done) / rate)}")

    def say(self, text: str) -> None:
        """Print a line that stays."""
        self.end()
        print(text, file=self.stream, flush=True)

    def end(self) -> None:
        """End the line, so that the next output begins on a new one."""
        if self._rewritten:
            print(file=self.stream)
            self._rewritten = False


def about(seconds: float) -> str:
    """Seconds in the unit that fits, without decimals: 40 s, 4 min, 3 h."""
    unit, size = ("s", 1) if seconds < 90 else ("min", 60) if seconds < 5400 else ("h", 3600)
    return f"{round(seconds / size)} {unit}"


def minutes(seconds: float) -> str:
    """Seconds as m:ss."""
    whole, rest = divmod(max(round(seconds), 0), 60)
    return f"{whole}:{rest:02d}"
