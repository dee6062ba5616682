"""CelebA from a small archive in the authors' layout."""

import hashlib
import importlib.util
import io
import zipfile
from typing import ClassVar

import numpy as np
import pytest
from PIL import Image

from src.config.errors import UserError
from src.data.celeba import ARCHIVE, CelebA, _GoogleDrive
from src.data.dataset import SPLITS, Dataset
from src.data.sources import SourceError

FACES = np.random.RandomState(0).randint(256, size=(12, 218, 178, 3), dtype=np.uint8)


def archive() -> bytes:
    """The images are PNGs under the original names, so that pixels can be compared; their order is not that of the names."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("img_align_celeba/", b"")
        for number in np.random.RandomState(1).permutation(12):
            png = io.BytesIO()
            Image.fromarray(FACES[number]).save(png, "PNG", compress_level=0)
            file.writestr(f"img_align_celeba/{number + 1:06d}.jpg", png.getvalue())
    return buffer.getvalue()


BYTES = archive()


class Small(CelebA):
    files: ClassVar = {ARCHIVE: hashlib.sha256(BYTES).hexdigest()}
    rows: ClassVar = {"train": slice(0, 8), "validation": slice(8, 10), "test": slice(10, 12)}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / ARCHIVE).write_bytes(BYTES)
    return tmp_path


def test_the_pinned_partition_is_the_official_one():
    rows = CelebA.rows
    assert [rows[name].stop - rows[name].start for name in SPLITS] == [162_770, 19_867, 19_962]
    assert (rows["train"].start, rows["test"].stop) == (0, 202_599)
    assert rows["train"].stop == rows["validation"].start
    assert rows["validation"].stop == rows["test"].start
    dataset: Dataset = CelebA("nowhere")
    assert dataset.spec.shape == (3, 64, 64)
    assert dataset.spec.classes == ()


@pytest.mark.parametrize(("crop", "top", "left"), [(178, 20, 0), (140, 39, 19)])
def test_the_centre_is_cropped(folder, crop, top, left):
    celeba = Small(folder, size=crop, crop=crop, sources=[])
    celeba.prepare()
    expected = FACES[:, top : top + crop, left : left + crop].transpose(0, 3, 1, 2)
    for name, rows in Small.rows.items():
        split = celeba.split(name)
        assert list(split.fields) == ["x"]
        x = split["x"]
        np.testing.assert_array_equal(x, expected[rows])
        assert isinstance(x, np.memmap)
        assert not x.flags.writeable


def test_the_crop_comes_before_the_resize(folder):
    celeba = Small(folder, sources=[])
    celeba.prepare()
    face = Image.fromarray(FACES[11]).crop((0, 20, 178, 198)).resize((64, 64), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(celeba.split("test")["x"][1], np.asarray(face).transpose(2, 0, 1))


def test_sizes_do_not_share_a_cache_and_the_archive_may_go(folder, capsys):
    for size, crop in ((16, 178), (16, 140), (8, 178)):
        Small(folder, size, crop, sources=[]).prepare()
    assert capsys.readouterr().out.count("decoding 12 images") == 3
    (folder / ARCHIVE).unlink()
    celeba = Small(folder, 16, 140, sources=[])
    celeba.prepare()
    assert capsys.readouterr().out == ""
    assert celeba.split("train")["x"].shape == (8, 3, 16, 16)
    assert celeba.hashes() == {
        ARCHIVE: Small.files[ARCHIVE],
        "images.npy": hashlib.sha256((folder / "16-of-140" / "images.npy").read_bytes()).hexdigest(),
    }


def test_another_archive_is_never_opened(folder):
    with pytest.raises(UserError, match=r"is damaged or another file .*move it away"):
        CelebA(folder, sources=[]).prepare()


def test_without_a_network_one_line_says_where_to_put_the_archive(tmp_path):
    with pytest.raises(UserError, match=rf"no source has {ARCHIVE} .*copy .* into {tmp_path}") as error:
        CelebA(tmp_path, sources=[]).prepare()
    assert "\n" not in str(error.value)


@pytest.mark.skipif(importlib.util.find_spec("gdown") is not None, reason="gdown is installed")
def test_without_gdown_a_line_says_what_to_install(tmp_path):
    (drive,) = (source for source in CelebA.default_sources if isinstance(source, _GoogleDrive))
    with pytest.raises(SourceError, match="pip install gdown"):
        drive.fetch(tmp_path, CelebA.files)


def test_the_file_on_google_drive_is_torchvisions():
    from torchvision.datasets import CelebA as Torchvisions

    (drive,) = (source for source in CelebA.default_sources if isinstance(source, _GoogleDrive))
    assert [entry[0] for entry in Torchvisions.file_list if entry[2] == ARCHIVE] == [dict(drive.ids)[ARCHIVE]]


def test_a_crop_wider_than_the_images(tmp_path):
    with pytest.raises(UserError, match="crop=179: the images are 178 pixels wide"):
        CelebA(tmp_path, crop=179)
