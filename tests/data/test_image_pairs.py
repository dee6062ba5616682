"""Two folders of real image files, made here: in pairs, and without pairs."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from src.config.errors import UserError
from src.data.dataset import SPLITS, check_dataset
from src.data.image_pairs import ImagePairs, ImagesUnpaired


def picture(number: int, shift: int = 0) -> np.ndarray:
    """One colour, which says the number."""
    return np.full((8, 8, 3), (number % 200 + shift, number // 200, 7), np.uint8)


def fill(folder: Path, names: list[str], shift: int = 0) -> Path:
    """A file for each name; the picture says the number in the name."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(int("".join(filter(str.isdigit, Path(name).stem))), shift)).save(path)
    return folder


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Any]:
    """Arguments of 12 pairs in each of three given splits, with 12 sources that are grey in the data."""
    names = [f"{split}/n{number + 12 * index}" for index, split in enumerate(("train", "val", "test")) for number in range(12)]
    return {
        "path": fill(tmp_path / "a", [f"{name}.png" for name in names]),
        "path_b": fill(tmp_path / "b", [f"{name}.bmp" for name in names], shift=20),
        "cache": tmp_path / "cache",
        "size": 8,
        "source_channels": 1,
    }


def numbers(images: np.ndarray) -> list[int]:
    """The red value of each picture."""
    return images[:, 0, 0, 0].tolist()


def test_pairs_have_one_name_and_the_given_splits(folders: dict[str, Any]) -> None:
    pairs = ImagePairs(**folders)
    pairs.prepare()
    check_dataset(pairs)
    for index, name in enumerate(SPLITS):
        split = pairs.split(name)
        batch = split.batch(np.arange(len(split)))
        assert sorted(numbers(batch["x"])) == [20 + 12 * index + number for number in range(12)]
        grey = [Image.fromarray(picture(red - 20)).convert("L").getpixel((0, 0)) for red in numbers(batch["x"])]
        assert numbers(batch["source"]) == grey
        assert np.array_equal(split.batch(np.array([[3, 1]]))["x"][0], batch["x"][[3, 1]])
    again = ImagePairs(**folders)
    assert again.hashes() == pairs.hashes()


def test_what_has_no_partner_is_listed_and_left_out(folders: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    fill(folders["path"], ["train/n50.png", "train/n51.png"])
    fill(folders["path_b"], ["test/n60.png"])
    (folders["path_b"] / "train" / "n0.bmp").write_bytes(b"BM broken")
    pairs = ImagePairs(**folders)
    pairs.prepare()
    said = capsys.readouterr().out
    assert f"{folders['path']}: 3 without a partner in {folders['path_b']}: train/n0, train/n50, train/n51" in said
    assert f"{folders['path_b']}: 1 without a partner in {folders['path']}: test/n60" in said
    assert "broken, left out: 'train/n0.bmp'" in said
    assert pairs.notes() == {"sources_without_target": 3, "targets_without_source": 1}
    assert [len(pairs.split(name)) for name in SPLITS] == [11, 12, 12]


def test_the_hash_of_a_name_decides_where_no_split_is_given(tmp_path: Path) -> None:
    """A new pair moves no other one."""
    names = [f"n{number}.png" for number in range(250)]
    a, b = fill(tmp_path / "a", names), fill(tmp_path / "b", names, shift=20)
    made = []
    for _ in range(2):
        pairs = ImagePairs(a, b, tmp_path / "cache", size=8)
        pairs.prepare()
        splits = {name: pairs.split(name).batch(np.arange(len(pairs.split(name)))) for name in SPLITS}
        assert all(np.array_equal(batch["x"][:, 0] - 20, batch["source"][:, 0]) for batch in splits.values())
        made.append(
            {(red, green): name for name, batch in splits.items() for red, green in batch["source"][:, :2, 0, 0].tolist()}
        )
        for folder, shift in ((a, 0), (b, 20)):
            fill(folder, ["n250.png"], shift)
    first, second = made
    assert len(first) == 250
    assert {key: split for key, split in second.items() if key in first} == first


def test_errors_are_one_line(folders: dict[str, Any], tmp_path: Path) -> None:
    few = fill(tmp_path / "few", [f"{split}/n{number}.png" for split in ("train", "val", "test") for number in range(3)])
    with pytest.raises(UserError, match=r"3 pairs are too few \(3 for train, 0 for validation, 0 for test"):
        ImagePairs(**{**folders, "path_b": few}).prepare()
    other = fill(tmp_path / "other", [f"m{number}.png" for number in range(9)])
    with pytest.raises(UserError, match="no two pictures of one name"):
        ImagePairs(**{**folders, "path_b": other}).prepare()
    with pytest.raises(UserError, match=r"data.path_b=.*nowhere: there is no such folder"):
        ImagePairs(**{**folders, "path_b": tmp_path / "nowhere"}).prepare()
    with pytest.raises(UserError, match=r"data.path_b=.*few: 9 images are too few"):
        ImagesUnpaired(**{**folders, "path_b": few}).prepare()
    fill(folders["path"], ["train/n3.jpg"])
    with pytest.raises(UserError, match=r"'train/n3.jpg' and 'train/n3.png' have one name"):
        ImagePairs(**folders).prepare()


def test_unpaired_folders_keep_their_own_splits(folders: dict[str, Any]) -> None:
    fill(folders["path_b"], ["train/n100.png", "test/n101.png"], shift=20)
    unpaired = ImagesUnpaired(**folders)
    unpaired.prepare()
    check_dataset(unpaired)
    train, test = unpaired.split("train"), unpaired.split("test")
    assert (len(train), len(test)) == (64 * 13, 12)
    batch = train.batch(np.arange(13))
    assert sorted(numbers(batch["x"])) == [*range(20, 32), 120]
    assert len({image.tobytes() for image in batch["source"]}) <= 12
    assert set(unpaired.hashes()) == {"x", "source"}
