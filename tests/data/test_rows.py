from pathlib import Path

import numpy as np
import pytest

from src.config.errors import UserError
from src.data import idx, rows
from src.data.rows import FileRows, indexed

INDEX = np.array([[7, 0, 0], [3, 9, 4]])


@pytest.fixture
def images(tmp_path: Path) -> np.ndarray:
    """[12, 5, 6] in an idx file."""
    pixels = np.random.default_rng(0).integers(0, 256, (12, 5, 6), np.uint8)
    (tmp_path / "images").write_bytes(bytes((0, 0, idx.UINT8, 3)) + np.array(pixels.shape, ">u4").tobytes() + pixels.tobytes())
    return idx.read(tmp_path / "images")


def test_rows_of_a_large_map_come_from_its_file(images: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "LARGE", 10 * images[0].nbytes)
    part = images[2:, None]  # as data sets split what is in a file, and add channels
    found = indexed(part)
    assert isinstance(found, FileRows)
    assert found[INDEX].shape == (2, 3, 1, 5, 6)
    assert np.array_equal(found[INDEX], part[INDEX])

    np.save(tmp_path / "points.npy", np.random.default_rng(1).normal(size=(40, 2)).astype(np.float32))
    points = np.load(tmp_path / "points.npy", mmap_mode="r")
    found = indexed(points)
    assert isinstance(found, FileRows)
    assert np.array_equal(found[INDEX], points[INDEX])


def test_others_are_left_as_they_are(images: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    assert indexed(images) is images  # small
    monkeypatch.setattr(rows, "LARGE", 0)
    in_memory, not_by_rows = np.zeros((4, 4)), images[:, ::2]
    assert indexed(in_memory) is in_memory
    assert indexed(not_by_rows) is not_by_rows


def test_a_file_that_is_cut_short_meanwhile(images: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "LARGE", 0)
    found = indexed(images)
    with open(tmp_path / "images", "r+b") as file:
        file.truncate(100)
    with pytest.raises(UserError, match="images has been cut short while it was in use"):
        found[INDEX]
