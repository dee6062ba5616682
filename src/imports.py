"""Importing PyTorch and Lightning while Python's garbage collector rests."""

import atexit
import contextlib
import functools
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def at_rest() -> Iterator[None]:
    """For import statements: what they make is all kept, and the collector would look through it again and again.

    That took a quarter of their time. The first time all that is alive at the end is set apart, and never looked through.
    """
    gc.disable()
    try:
        yield
    finally:
        set_apart()
        gc.enable()


@functools.cache
def set_apart() -> None:
    """Once in a process: a later time would keep what has become garbage meanwhile."""
    gc.freeze()
    atexit.register(gc.unfreeze)  # at the very end it is collected as ever, or extension modules complain of leaks
