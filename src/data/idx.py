"""The idx format of MNIST and its relatives: big-endian header, then the array. http://yann.lecun.com/exdb/mnist/"""

import struct
from pathlib import Path

import numpy as np

from src.config.errors import UserError

UINT8 = 0x08


def read(path: Path) -> np.memmap:
    """The uint8 array in an idx file, memory-mapped and read-only; raises UserError for any other file."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        head = file.read(4)
        if size < 4 or head[:3] != bytes((0, 0, UINT8)):
            raise UserError(f"{path} is not an idx file of bytes: delete it and get the data again")
        shape_bytes = file.read(4 * head[3])
    offset = 4 + 4 * head[3]
    shape = struct.unpack(f">{head[3]}I", shape_bytes) if size >= offset else ()
    if not shape or size != offset + int(np.prod(shape, dtype=np.int64)):
        raise UserError(f"{path} is cut short or too long ({size:,} bytes): delete it and get the data again")
    return np.memmap(path, dtype=np.uint8, mode="r", offset=offset, shape=shape)
