"""Rows of large memory-mapped arrays, read from their files."""

from pathlib import Path
from typing import Any

import numpy as np

from src.config.errors import UserError

LARGE = 200_000_000  # bytes


class FileRows:
    """x[index] of an array x that is mapped from a file, without touching the map.

    What is read lies in the system's cache of files, once for all processes. Pages of a map that are touched become the
    process's own memory as long as the system has enough of it: after an epoch, the whole file.
    """

    def __init__(self, x: np.ndarray, file: Path, offset: int) -> None:
        self.file, self.offset, self.shape, self.dtype = file, offset, x.shape[1:], x.dtype

    def __getitem__(self, index: np.ndarray) -> np.ndarray:
        """Rows [*index.shape, *x.shape[1:]]."""
        rows = np.empty((index.size, *self.shape), self.dtype)
        size = rows[0].nbytes
        with open(self.file, "rb", buffering=0) as file:
            for row, number in zip(rows, index.flat, strict=True):
                file.seek(self.offset + int(number) * size)
                if file.readinto(row.data) != size:
                    raise UserError(f"{self.file} has been cut short while it was in use: get the data again")
        return rows.reshape(*index.shape, *self.shape)


def indexed(x: np.ndarray) -> Any:
    """What gives x[index] with the least memory: FileRows of a large array that lies in a file row by row, else x itself.

    x: whatever a split holds, an array or like one.
    """
    mapped: Any = x
    while isinstance(getattr(mapped, "base", None), np.ndarray):
        mapped = mapped.base
    if not isinstance(mapped, np.memmap) or mapped.filename is None or x.nbytes < LARGE or not x.flags.c_contiguous:
        return x
    return FileRows(x, Path(mapped.filename), mapped.offset + x.ctypes.data - mapped.ctypes.data)
