"""Rows of large memory-mapped arrays, read from their files."""

from pathlib import Path
from typing import Any

import numpy as np

from src.config.errors import UserError

LARGE = 200_000_000  # bytes


class FileRows:
    """x[index] of a memory-mapped array x, read from its file and not through the map.

    The system's page cache holds the file once for all processes. Pages that are read through a map count as memory of the
    process until the system runs short of memory: after one epoch, the whole file.
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
    """An object that gives x[index] with the least memory: FileRows for a large C-contiguous memory map, else x itself.

    x: an array, or an object that is indexed like one.
    """
    mapped: Any = x
    while isinstance(getattr(mapped, "base", None), np.ndarray):
        mapped = mapped.base
    if not isinstance(mapped, np.memmap) or mapped.filename is None or x.nbytes < LARGE or not x.flags.c_contiguous:
        return x
    return FileRows(x, Path(mapped.filename), mapped.offset + x.ctypes.data - mapped.ctypes.data)
