"""Folders of real image files, made here."""

import hashlib
import io
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps, PngImagePlugin

from src.config.errors import UserError
from src.data.dataset import SPLITS, Dataset
from src.data.decoded import to_array
from src.data.folder import Folder

ROOT = Path(__file__).parents[2]


def picture(number: int, size: int = 8) -> np.ndarray:
    return np.random.RandomState(number).randint(256, size=(size, size, 3), dtype=np.uint8)


def fill(folder: Path, count: int, start: int = 0) -> Path:
    """PNG files of different pictures of 8 x 8."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(start, start + count):
        Image.fromarray(picture(number)).save(folder / f"{number}.png")
    return folder


def encoded(image: Image.Image, kind: str = "PNG", **settings) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **settings)
    return buffer.getvalue()


def grey(rows: list, dtype: type = np.uint8) -> Image.Image:
    return Image.fromarray(np.array(rows, dtype=dtype))


@pytest.fixture
def pictures(tmp_path):
    return fill(tmp_path / "pictures", 200)


@pytest.fixture
def make(tmp_path, pictures):
    """make(size=8, ...): prepared."""

    def prepared(**settings) -> Folder:
        folder = Folder(pictures, tmp_path / "cache", **{"size": 8, **settings})
        folder.prepare()
        return folder

    return prepared


def places(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "cache").iterdir() if path.is_dir())


def contents(folder: Folder) -> dict[bytes, str]:
    """Split by image."""
    return {image.tobytes(): name for name in SPLITS for image in folder.split(name)["x"]}


# One image.


def test_an_image_of_the_right_size_stays_as_it_is():
    np.testing.assert_array_equal(to_array(encoded(Image.fromarray(picture(0))), 8, 3), picture(0).transpose(2, 0, 1))


@pytest.mark.parametrize(("width", "height", "left", "top"), [(20, 8, 6, 0), (8, 13, 0, 2), (9, 8, 0, 0)])
def test_the_centre_square_is_kept(width, height, left, top):
    pixels = np.random.RandomState(0).randint(256, size=(height, width), dtype=np.uint8)
    found = to_array(encoded(Image.fromarray(pixels)), 8, 1)
    np.testing.assert_array_equal(found[0], pixels[top : top + 8, left : left + 8])


def test_resizing_averages_and_does_not_skip():
    ramp = np.tile(np.arange(0, 64 * 3, 3, dtype=np.uint8), (64, 1))  # pixel i is 3 i, its place i + 0.5
    found = to_array(encoded(Image.fromarray(ramp)), 16, 1)[0]
    expected = 3 * (4 * (np.arange(16) + 0.5) - 0.5)  # the ramp at the middle of each pixel of four
    np.testing.assert_allclose(found[:, 2:-2], np.tile(expected, (16, 1))[:, 2:-2], atol=0.51)
    stripes = np.tile(np.array([0, 200], dtype=np.uint8), (64, 32))
    np.testing.assert_allclose(to_array(encoded(Image.fromarray(stripes)), 16, 1)[0, :, 2:-2], 100, atol=1)


def test_exif_turns_it_upright():
    pixels = np.zeros((8, 8, 3), dtype=np.uint8)
    pixels[:, :4] = 255  # white on the left
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise: left comes to be the top
    for kind in ("PNG", "JPEG"):
        found = to_array(encoded(Image.fromarray(pixels), kind, exif=exif), 8, 3)
        assert found[:, :3].min() > 250, kind
        assert found[:, 5:].max() < 5, kind


def with_exif(*entries: tuple[int, int, int, bytes]) -> bytes:
    """A JPEG, white on the left, with these EXIF entries: tag, type, count and four bytes of value."""
    pixels = np.zeros((8, 8, 3), dtype=np.uint8)
    pixels[:, :4] = 255
    tags = b"".join(struct.pack(">HHI", *entry[:3]) + entry[3] for entry in entries)
    exif = b"Exif\0\0MM\0*" + struct.pack(">IH", 8, len(entries)) + tags + bytes(4)
    return encoded(Image.fromarray(pixels), "JPEG", exif=exif)


ORIENTATION_6 = (0x0112, 3, 1, b"\0\6\0\0")


@pytest.mark.parametrize(
    "entry",
    [
        (0x0213, 7, 4, b"abcd"),  # UNDEFINED, where a short belongs
        (0x0103, 8, 1, b"\xff\xff\0\0"),  # a negative short
        (0x0128, 2, 4, b"cm\0\0"),  # ASCII, where a short belongs
        (0x011A, 5, 1, b"\0\0\xff\xff"),  # a ratio that lies beyond the end
    ],
)
def test_exif_turns_it_upright_whatever_the_other_tags_hold(entry):
    found = to_array(with_exif(ORIENTATION_6, entry), 8, 3)
    assert found[:, :3].min() > 250
    assert found[:, 5:].max() < 5


@pytest.mark.parametrize("entry", [(0x0112, 2, 4, b"six\0"), (0x0112, 7, 1, b"\6\0\0\0"), (0x0112, 3, 1, b"\0\x63\0\0")])
def test_an_orientation_that_is_none_turns_nothing(entry):
    assert to_array(with_exif(entry), 8, 3)[:, :, :3].min() > 250
    image = Image.fromarray(np.repeat(np.array([[255, 0]], dtype=np.uint8), 4, axis=1).repeat(8, axis=0))
    assert to_array(encoded(image, "JPEG", exif=b"Exif\0\0no TIFF at all"), 8, 1)[:, :, :3].min() > 250


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_that_of_pillow(kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(Image.fromarray(picture(3)), kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {}))
    with Image.open(io.BytesIO(data)) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    np.testing.assert_array_equal(to_array(data, 8, 3), expected.transpose(2, 0, 1))


def test_long_comments_and_profiles_of_a_png_are_no_fault():
    comment = PngImagePlugin.PngInfo()
    comment.add_text("Comment", "x" * 2_000_000, zip=True)
    comment.add_itxt("Description", "y" * 2_000_000, zip=True)
    image = Image.fromarray(picture(0))
    expected = picture(0).transpose(2, 0, 1)
    np.testing.assert_array_equal(to_array(encoded(image, pnginfo=comment), 8, 3), expected)
    np.testing.assert_array_equal(to_array(encoded(image, icc_profile=bytes(3_000_000)), 8, 3), expected)


def test_transparency_is_laid_on_white():
    pixels = np.zeros((8, 8, 4), dtype=np.uint8)
    pixels[..., 0] = 200
    pixels[:4, :, 3] = 255
    pixels[4:, :, 3] = 51  # a fifth: 0.2 * 200 + 0.8 * 255 = 244, 0.8 * 255 = 204
    found = to_array(encoded(Image.fromarray(pixels)), 8, 3)
    assert found[:, 0, 0].tolist() == [200, 0, 0]
    assert found[:, 7, 0].tolist() == [244, 204, 204]
    palette = Image.fromarray(np.zeros((8, 8), dtype=np.uint8)).convert("P")
    palette.putpalette([10, 20, 30, 40, 50, 60])
    assert to_array(encoded(palette), 8, 3)[:, 0, 0].tolist() == [10, 20, 30]
    assert to_array(encoded(palette, transparency=0), 8, 3)[:, 0, 0].tolist() == [255, 255, 255]
    half = Image.merge("LA", [Image.new("L", (8, 8), 0), Image.new("L", (8, 8), 102)])
    assert to_array(encoded(half), 8, 1)[0, 0, 0] == 153  # 0.6 * 255


def test_16_bits_are_scaled_and_not_cut_off():
    values = np.tile(np.array([0, 256, 257, 32_768, 65_278, 65_535, 128, 129], dtype=np.uint16), (8, 1))
    expected = [0, 1, 1, 128, 254, 255, 0, 1]  # v / 257, rounded
    for kind in ("PNG", "TIFF"):
        assert to_array(encoded(Image.fromarray(values), kind), 8, 1)[0, 0].tolist() == expected, kind
    graymap = b"P5 8 8 65535\n" + values.astype(">u2").tobytes()
    assert to_array(graymap, 8, 3)[2, 7].tolist() == expected


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_pixels_without_a_range_are_refused(dtype):
    with pytest.raises(ValueError, match="have no fixed range"):
        to_array(encoded(Image.fromarray(np.full((8, 8), 70_000, dtype=dtype)), "TIFF"), 8, 1)


def test_cmyk_bits_and_colours_become_what_is_asked_for():
    cmyk = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    assert to_array(encoded(cmyk, "TIFF"), 8, 3)[:, 0, 0].tolist() == [255, 0, 0]
    assert to_array(encoded(Image.new("1", (8, 8), 1)), 8, 3)[:, 0, 0].tolist() == [255, 255, 255]
    green = to_array(encoded(Image.new("RGB", (8, 8), (0, 200, 0))), 8, 1)
    assert green.shape == (1, 8, 8)
    assert green[0, 0, 0] == 117  # 0.587 * 200


@pytest.mark.parametrize(
    "data", [b"", b"GIF89a", encoded(Image.fromarray(picture(0, 64)))[:5_000], b"%!PS-Adobe-3.0 EPSF-3.0\n"]
)
def test_no_image(data):
    with pytest.raises(Exception, match=r"."):
        to_array(data, 8, 3)


# The folder.


def test_every_image_is_in_one_split(make):
    folder: Dataset = make()
    assert folder.spec.shape == (3, 8, 8)
    assert folder.spec.classes == ()
    found = np.concatenate([folder.split(name)["x"] for name in SPLITS])
    expected = [picture(number).transpose(2, 0, 1).tobytes() for number in range(200)]
    assert sorted(image.tobytes() for image in found) == sorted(expected)
    for name in SPLITS:
        split = folder.split(name)
        assert list(split.fields) == ["x"]
        x = split["x"]
        assert x.dtype == np.uint8
        assert isinstance(x, np.memmap)
        assert not x.flags.writeable


def test_the_splits_are_those_of_the_files_hashes(make, pictures):
    expected = {}
    for number in range(200):
        share = int.from_bytes(hashlib.sha256((pictures / f"{number}.png").read_bytes()).digest()[:4], "big") / 2**32
        image = picture(number).transpose(2, 0, 1).tobytes()
        expected[image] = "test" if share < 0.05 else "validation" if share < 0.10 else "train"
    assert set(expected.values()) == set(SPLITS)
    assert contents(make()) == expected


def test_a_file_more_moves_no_other_and_a_copy_shares_the_split(make, pictures):
    before = contents(make())
    fill(pictures, 50, start=200)
    after = contents(make())
    assert len(after) == 250
    assert after.items() >= before.items()
    shutil.copy(pictures / "3.png", pictures / "a copy.png")
    folder = make()
    assert sum(len(folder.split(name)) for name in SPLITS) == 251
    assert contents(folder) == after


@pytest.mark.parametrize(("test", "validation"), [(4, 5), (5, 4), (5, 5)])
def test_every_split_has_enough_images_to_measure_a_distance(tmp_path, test, validation):
    pictures = tmp_path / "pictures"
    room = {"test": test, "validation": validation, "train": 40}
    for number in range(400):
        fill(pictures, 1, start=number)
        path = pictures / f"{number}.png"
        share = int(hashlib.sha256(path.read_bytes()).hexdigest()[:8], 16) / 2**32
        split = "test" if share < 0.05 else "validation" if share < 0.1 else "train"
        room[split] -= 1
        if room[split] < 0:
            path.unlink()
    folder = Folder(pictures, tmp_path / "cache", size=8)
    if test + validation < 10:
        counts = rf"{40 + test + validation} images are too few \(40 for train, {validation} for validation, {test} for test;"
        with pytest.raises(UserError, match=counts) as error:
            folder.prepare()
        assert "\n" not in str(error.value)
    else:
        folder.prepare()
        assert [len(folder.split(name)) for name in SPLITS] == [40, 5, 5]


def test_sub_folders_are_classes(tmp_path):
    for start, name in enumerate(("zebra", "ant/queens", "ant/workers", "bee")):
        fill(tmp_path / "pictures" / name, 60, start=60 * start)
    (tmp_path / "pictures" / ".hidden").mkdir()
    shutil.copy(tmp_path / "pictures" / "bee" / "180.png", tmp_path / "pictures" / ".hidden")
    (tmp_path / "pictures" / "bee" / "._180.png").write_bytes(b"what macOS leaves")
    (tmp_path / "pictures" / "notes.txt").write_text("no image")
    folder = Folder(tmp_path / "pictures", tmp_path / "cache", size=8)
    folder.prepare()
    assert folder.spec.classes == ("ant", "bee", "zebra")
    names = ["zebra"] * 60 + ["ant"] * 120 + ["bee"] * 60
    expected = {picture(number).transpose(2, 0, 1).tobytes(): name for number, name in enumerate(names)}
    found = {}
    for name in SPLITS:
        split = folder.split(name)
        x, y = split["x"], split["y"]
        assert y.dtype == np.int64
        found |= {image.tobytes(): folder.spec.classes[label] for image, label in zip(x, y, strict=True)}
    assert found == expected
    assert sorted(folder.hashes()) == ["images.npy", "labels.npy"]


def test_links_to_folders_outside_are_followed_and_circles_are_not(tmp_path):
    for number, name in enumerate(("elsewhere/cats", "elsewhere/dogs", "pictures/mice")):
        fill(tmp_path / name, 100, start=100 * number)
    for name in ("cats", "dogs"):
        (tmp_path / "pictures" / name).symlink_to(tmp_path / "elsewhere" / name)
    (tmp_path / "elsewhere" / "dogs" / "friends").symlink_to(tmp_path / "elsewhere" / "cats")
    (tmp_path / "elsewhere" / "dogs" / "again").symlink_to(tmp_path / "elsewhere" / "dogs")
    (tmp_path / "pictures" / "mice" / "all").symlink_to(tmp_path / "pictures")
    (tmp_path / "pictures" / "mice" / "above").symlink_to(tmp_path)
    folder = Folder(tmp_path / "pictures", tmp_path / "cache", size=8)
    folder.prepare()
    assert folder.spec.classes == ("cats", "dogs", "mice")
    labels = np.concatenate([folder.split(name)["y"] for name in SPLITS])
    assert np.bincount(labels).tolist() == [100, 100, 100]


def test_images_beside_the_sub_folders_or_a_single_one_make_no_classes(tmp_path):
    fill(tmp_path / "pictures" / "a", 40)
    assert Folder(tmp_path / "pictures", tmp_path / "cache").spec.classes == ()
    fill(tmp_path / "pictures" / "b", 1)
    assert Folder(tmp_path / "pictures", tmp_path / "cache").spec.classes == ("a", "b")
    fill(tmp_path / "pictures", 1)
    assert Folder(tmp_path / "pictures", tmp_path / "cache").spec.classes == ()


def test_a_trained_model_needs_no_folder_to_be_built(tmp_path):
    spec = Folder(tmp_path / "gone", tmp_path / "cache", size=16, channels=1).spec
    assert (spec.shape, spec.classes) == ((1, 16, 16), ())


# The cache.


def test_the_second_start_maps_what_the_first_decoded(make, tmp_path, capsys):
    first = make()
    assert "reading 200 images ... done" in (out := capsys.readouterr().out)
    assert "decoding 200 images ... done" in out
    (place,) = places(tmp_path)
    before = (tmp_path / "cache" / place / "images.npy").stat()
    second = make()
    assert capsys.readouterr().out == ""
    assert (tmp_path / "cache" / place / "images.npy").stat() == before
    assert second.hashes() == first.hashes()
    assert second.hashes()["images.npy"] == hashlib.sha256((tmp_path / "cache" / place / "images.npy").read_bytes()).hexdigest()


def test_where_only_times_differ_the_bytes_decide(make, pictures, tmp_path, capsys):
    make()
    os.utime(pictures / "7.png", (0, 0))
    capsys.readouterr()
    make()
    out = capsys.readouterr().out
    assert "reading" in out
    assert "decoding" not in out
    make()
    assert capsys.readouterr().out == ""
    assert len(places(tmp_path)) == 1


def test_other_bytes_names_and_settings_have_a_place_of_their_own(make, pictures, tmp_path):
    hashes = [make().hashes()]
    Image.fromarray(picture(1_000)).save(pictures / "7.png")
    hashes.append(make().hashes())
    hashes += [make(size=4).hashes(), make(channels=1).hashes()]
    assert len({h["images.npy"] for h in hashes}) == 4
    (pictures / "7.png").rename(pictures / "seven.png")
    make()
    assert len(places(tmp_path)) == 5


def test_a_damaged_cache_is_made_again(make, tmp_path, capsys):
    hashes = make().hashes()
    path = tmp_path / "cache" / places(tmp_path)[0] / "images.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    capsys.readouterr()
    assert make().hashes() == hashes
    assert "damaged" in capsys.readouterr().out
    assert make().split("train")["x"].shape[0] > 100


def test_ctrl_c_leaves_nothing_half_written(tmp_path):
    pictures, cache = tmp_path / "pictures", tmp_path / "cache"
    pictures.mkdir()
    Image.fromarray(picture(0, 1_000)).save(pictures / "0.bmp")  # seconds of work for the price of one file
    for number in range(1, 400):
        os.link(pictures / "0.bmp", pictures / f"{number}.bmp")
    process = subprocess.Popen(
        [sys.executable, "-c", f"from src.data.folder import Folder; Folder({str(pictures)!r}, {str(cache)!r}).prepare()"],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # a job in the background ignores it
    )
    for _ in range(1_000):
        if any(path.stat().st_size for path in cache.glob(".*.tmp/images.npy")):  # it is in the midst of decoding
            break
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert b"KeyboardInterrupt" in err
    assert out.endswith(b"stopped\n")
    assert [path.name for path in cache.iterdir() if path.suffix != ".lock"] == []


# What can be wrong.


def test_broken_files_are_named_and_left_out(make, pictures, capsys):
    for number, content in ((5, b""), (6, (pictures / "6.png").read_bytes()[:90])):
        (pictures / f"{number}.png").write_bytes(content)
    folder = make()
    out = capsys.readouterr().out
    assert "broken, left out: '5.png' (ValueError: no image of these formats: BMP, " in out
    assert "broken, left out: '6.png' (OSError: image file is truncated" in out
    assert out.count("left out") == 2
    expected = {picture(number).transpose(2, 0, 1).tobytes() for number in range(200) if number not in (5, 6)}
    assert set(contents(folder)) == expected


def test_what_is_no_regular_file_is_left_out_like_a_broken_one(make, pictures, tmp_path, capsys):
    (pictures / "away.png").symlink_to(tmp_path / "nowhere.png")
    (pictures / "itself.png").symlink_to(pictures / "itself.png")
    os.mkfifo(pictures / "pipe.png")
    with socket.socket(socket.AF_UNIX) as there:
        there.bind(os.path.relpath(pictures / "socket.png"))
        folder = make()
    out = capsys.readouterr().out
    for name, reason in [("away", "dangling link"), ("itself", "dangling link"), ("pipe", "no regular file")]:
        assert f"broken, left out: '{name}.png' ({reason})" in out
    assert out.count("broken, left out: ") == 4
    assert len(contents(folder)) == 200
    make()
    assert capsys.readouterr().out == ""


def test_files_that_are_not_read_are_counted_by_kind(make, pictures, capsys):
    for number in range(12):
        (pictures / f"{number}.HEIC").write_bytes(b"")
    (pictures / "notes.txt").write_text("")
    (pictures / "README").write_text("")
    (pictures / "cats").symlink_to(pictures / "gone")
    (pictures / ".hidden.txt").write_text("")
    (pictures / os.fsdecode(b"a.\xff")).write_text("")
    make()
    found = "12 .heic, 1 .\\udcff, 1 .txt, 1 dangling link, 1 without suffix"
    assert f"pictures: left out: {found}\n" in capsys.readouterr().out
    make()
    assert capsys.readouterr().out == ""
    (pictures / "more.txt").write_text("")
    make()
    assert "2 .txt" in capsys.readouterr().out


@pytest.mark.parametrize("suffix", [".JPG", ".jfif", ".jpe", ".Jpeg"])
def test_names_of_a_jpeg(make, pictures, suffix):
    Image.fromarray(picture(1_000)).save(pictures / f"1000{suffix}", "JPEG")
    assert len(contents(make())) == 201


# Splits that the user has made.


def splits_in(folder: Path, *names: str, count: int = 200) -> Folder:
    """Folders of these names with pictures of their own each, and the data set over them."""
    for number, name in enumerate(names):
        fill(folder / name, count, start=1_000 * number)
    return Folder(folder, folder.parent / "cache", size=8)


def numbers(folder: Folder, name: str) -> set[int]:
    """The thousands of the pictures in a split."""
    known = {picture(number).transpose(2, 0, 1).tobytes(): number // 1_000 for number in range(4_000)}
    return {known[image.tobytes()] for image in folder.split(name)["x"]}


@pytest.mark.parametrize("validation", ["val", "valid", "Validation"])
def test_folders_named_after_splits_are_the_splits(tmp_path, validation, capsys):
    folder = splits_in(tmp_path / "pictures", "train", validation, "test", count=20)
    folder.prepare()
    assert folder.spec.classes == ()
    assert [numbers(folder, name) for name in SPLITS] == [{0}, {1}, {2}]
    assert [len(folder.split(name)) for name in SPLITS] == [20, 20, 20]
    assert "its splits are " in capsys.readouterr().out


def test_the_classes_are_below_the_splits(tmp_path):
    folder = splits_in(tmp_path / "pictures", "train/cats", "train/dogs", "val/cats", "test/dogs", count=20)
    folder.prepare()
    assert folder.spec.classes == ("cats", "dogs")
    labels = {name: np.bincount(folder.split(name)["y"], minlength=2).tolist() for name in SPLITS}
    assert labels == {"train": [20, 20], "validation": [20, 0], "test": [0, 20]}
    fill(tmp_path / "pictures" / "test", 1)
    assert Folder(tmp_path / "pictures", tmp_path / "cache").spec.classes == ()


@pytest.mark.parametrize(("there", "taken"), [("test", "validation"), ("val", "test")])
def test_a_split_that_is_missing_is_taken_from_train(tmp_path, there, taken, capsys):
    folder = splits_in(tmp_path / "pictures", "train", there)
    folder.prepare()
    given = {"test": "test", "val": "validation"}[there]
    assert [numbers(folder, name) for name in ("train", given, taken)] == [{0}, {1}, {0}]
    share = {"test": (0, 0.05), "validation": (0.05, 0.10)}[taken]
    hashes = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (tmp_path / "pictures" / "train").iterdir()]
    expected = sum(share[0] <= int(sha256[:8], 16) / 2**32 < share[1] for sha256 in hashes)
    assert [len(folder.split(name)) for name in ("train", given, taken)] == [200 - expected, 200, expected]
    assert f", {taken} part of train\n" in capsys.readouterr().out


def test_splits_that_are_none(tmp_path):
    with pytest.raises(UserError, match=r"test and val are taken for splits, but there is no train: add it, or rename them"):
        splits_in(tmp_path / "a", "val", "test", count=5).prepare()
    with pytest.raises(UserError, match=r"test and train are taken for splits, but 'more' lies beside them: move it into"):
        splits_in(tmp_path / "b", "train", "test", "more", count=5).prepare()
    assert splits_in(tmp_path / "c", "train", "bus", count=5).spec.classes == ("bus", "train")


def test_too_many_broken_files(make, pictures):
    for number in range(10):
        (pictures / f"{number}.png").write_bytes(b"no image %d" % number)
    make()  # 10 of 200 are 5 %
    (pictures / "10.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"11 of 200 images are broken, for one '\d+.png' .*data.max_broken=") as error:
        make()
    assert "\n" not in str(error.value)
    assert sum(len(make(max_broken=0.06).split(name)) for name in SPLITS) == 189
    with pytest.raises(UserError, match="11 of 200 images are broken"):
        make()


def test_a_folder_of_no_use(tmp_path):
    def refused(words: str) -> None:
        with pytest.raises(UserError, match=words) as error:
            Folder(tmp_path / "pictures", tmp_path / "cache", size=8).prepare()
        assert "\n" not in str(error.value)

    refused(r"data.path=.*/pictures: there is no such folder")
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "film.mp4").write_bytes(b"")
    refused(r"there are no images in it \(.bmp, .*\); found: 1 .mp4$")
    fill(tmp_path / "pictures", 29)
    refused(r"29 images are too few \(.* each needs 5\): add different ones, some 250 in all, or make folders")


def test_only_broken_files(tmp_path):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.png").write_bytes(b"")
    with pytest.raises(UserError, match="1 of 1 images are broken"):
        Folder(tmp_path / "pictures", tmp_path / "cache").prepare()


def test_a_cache_that_cannot_be_written(pictures, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write to .*/file/cache \(Not a directory\): choose another with paths.data="):
        Folder(pictures, tmp_path / "file" / "cache").prepare()


def test_a_split_before_prepare(pictures, tmp_path):
    with pytest.raises(UserError, match=r"is not prepared: run python -m src.prepare"):
        Folder(pictures, tmp_path / "cache").split("train")


def test_channels(pictures, tmp_path):
    with pytest.raises(UserError, match="channels=4: must be 1"):
        Folder(pictures, tmp_path / "cache", channels=4)
