"""Whether the processes of other machines live: nothing else tells of a machine that has lost its power or its network.

Each counts up in the store where they have met. The first listens to all, the others to the first.
"""

import contextlib
import os
import sys
import threading
import time
from datetime import timedelta
from typing import Any

EVERY = 1.0  # seconds
LOST = 20  # times in a row that nothing is heard of one that had been heard of. Who is stopped and goes on has not waited.

_over: threading.Event | None = None
_silence: dict[str, int] = {}  # how many times in a row nothing was heard of whom


def start(store: Any, rank: int, size: int) -> None:
    """Be heard, and end this process where another one, or the store, is heard no longer; until `stop`."""
    global _over, _silence
    if size == 1:
        return
    _over = over = threading.Event()
    meeting_point = f"{os.environ['MASTER_ADDR']}, where the processes have met,"
    others = {other: f"process {other} of {size}" for other in (range(1, size) if rank == 0 else [0])}
    _silence = silence = {meeting_point: 0}
    own = store.clone()  # a connection of its own: the other one may be waiting for an answer
    own.set_timeout(timedelta(seconds=LOST * EVERY))
    own.add(f"beat/{rank}", 1)  # from now on it would be missed

    def beat() -> None:
        heard = dict.fromkeys(others, 0)
        with contextlib.suppress(RuntimeError):  # the store has gone
            while not over.wait(EVERY):
                own.add(f"beat/{rank}", 1)
                for other, name in others.items():
                    if (count := own.add(f"beat/{other}", 0)) != heard[other]:
                        heard[other], silence[name] = count, 0
                silence[meeting_point] = 0

    def watch() -> None:
        while not over.wait(EVERY):
            for name in list(silence):
                silence[name] += 1
                if silence[name] > LOST and not over.is_set():
                    print(f"error: {gone(name)}", file=sys.stderr, flush=True)
                    os._exit(2)

    for function in (beat, watch):
        threading.Thread(target=function, daemon=True).start()


def gone(name: str) -> str:
    return f"{name} is not heard any more (its own output may say why): repeat the commands of all machines, the run goes on"


def missing(times: int = 3) -> str | None:
    """What is to be said where a message has failed and one of the others is silent, which takes a few seconds to know."""
    if _over is None:
        return None
    time.sleep((times + 1.5) * EVERY)
    return next((gone(name) for name, silent in _silence.items() if silent >= times), None)


def stop() -> None:
    if _over:
        _over.set()
