"""What Python itself takes of the seconds in which a command starts and ends."""

import atexit
import contextlib
import functools
import gc
import os
import sys
from collections.abc import Iterator
from typing import NoReturn


@contextlib.contextmanager
def gc_paused() -> Iterator[None]:
    """For import statements, without garbage collection: it would look through all that they make again and again.

    That took a quarter of Lightning's import. The first time what is alive at the end is set apart, and never looked through.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        freeze()
        if enabled:
            gc.enable()


@functools.cache
def freeze() -> None:
    """Once in a process: a later time would keep what has become garbage meanwhile."""
    gc.freeze()
    atexit.register(gc.unfreeze)  # at the very end it is collected as ever, or extension modules complain of leaks


def leave(code: str | int | None) -> NoReturn:
    """End the process as sys.exit does, but for taking PyTorch's objects apart one by one, which takes a second and more."""
    prompt = hasattr(sys, "ps1") or sys.flags.interactive  # which would be lost
    if prompt or not isinstance(code, int):
        sys.exit(code)
    atexit._run_exitfuncs()
    try:
        for stream in filter(None, (sys.stdout, sys.stderr)):  # without those that were closed before the start
            stream.flush()
    except OSError:  # nobody reads on, or the disk is full: Python says so
        sys.exit(code)
    os._exit(code)
