import struct

import numpy as np
import pytest

from src.config.errors import UserError
from src.data import idx


def test_reads_any_shape_as_a_read_only_map(tmp_path):
    (tmp_path / "a").write_bytes(struct.pack(">HBB3I", 0, 8, 3, 2, 1, 3) + bytes(range(6)))
    array = idx.read(tmp_path / "a")
    assert isinstance(array, np.memmap)
    assert not array.flags.writeable
    np.testing.assert_array_equal(array, [[[0, 1, 2]], [[3, 4, 5]]])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0\0",
        b"<html>a page</html>",
        struct.pack(">HBB", 0, 8, 1),  # the shape is missing
        struct.pack(">HBB", 0, 8, 0) + b"x",  # no dimension
        struct.pack(">HBBI", 0, 0x0D, 1, 1) + b"\0\0\0\0",  # floats
        struct.pack(">HBBI", 0, 8, 1, 3) + b"ab",  # short
        struct.pack(">HBBI", 0, 8, 1, 3) + b"abcd",  # long
        struct.pack(">HBB2I", 0, 8, 2, 2**31, 2**31) + b"abcd",  # a shape whose size overflows 32 bits
    ],
)
def test_refuses_what_is_no_whole_idx_file_of_bytes(tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(UserError, match=str(tmp_path / "a")):
        idx.read(tmp_path / "a")
