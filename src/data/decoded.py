"""A cache of decoded images as memory-mapped .npy files, and the functions that fill it."""

import io
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from src.config.errors import UserError
from src.data.sources import PROGRESS, digest
from src.system.files import TEMPORARY, check_writable, sync_folder, write_json

# Without EPS, which Pillow opens with another program, and without PDF and HDF5, which are not image formats.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
PORTION = 64  # images in memory at once; Ctrl-C waits for at most this many
REVISION = 1  # increase it when decoding changes the pixels: older caches are then not used

Item = TypeVar("Item")
Result = TypeVar("Result")


class Decoded:
    """A folder of .npy files that is written once, with a record of their hashes and of their source.

    folder: exists only when all its files are complete. source: plain JSON that determines the arrays.
    """

    record_name = "record.json"

    def __init__(self, folder: Path, source: dict[str, Any]) -> None:
        self.folder, self.source = folder, source

    def is_intact(self) -> bool:
        """Whether the arrays exist, were made from this source and match their hashes (about a second per GB)."""
        try:
            record = json.loads((self.folder / self.record_name).read_text())
            return record["source"] == self.source and all(
                digest(self.folder / name) == sha256 for name, sha256 in record["sha256"].items()
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return False

    def make(self, write: Callable[[Path], dict[str, Any]]) -> None:
        """Write the arrays with `write(folder)`, unless another process just did; the dict it returns goes into the record.

        A failed or interrupted call leaves no files. Raises UserError if the folder cannot be written.
        """
        from filelock import FileLock

        check_writable(self.folder.parent, "paths.data")
        part = self.folder.with_name(f".{self.folder.name}{TEMPORARY}")
        with FileLock(self.folder.with_name(f"{self.folder.name}.lock")):
            if self.is_intact():
                return
            if self.folder.exists():
                print(f"{self.folder}: damaged or made from another source: writing it again", flush=True)
            shutil.rmtree(part, ignore_errors=True)  # left by a killed process
            try:
                part.mkdir()
                details = write(part)
                hashes = {path.name: digest(path) for path in sorted(part.iterdir())}
                write_json(part / self.record_name, {"source": self.source, "sha256": hashes, "details": details})
                shutil.rmtree(self.folder, ignore_errors=True)
                part.rename(self.folder)
                sync_folder(self.folder.parent)
            except OSError as error:
                raise UserError(
                    f"cannot write {self.folder} ({error.strerror or error}): make room, or choose another with paths.data="
                ) from error
            finally:
                shutil.rmtree(part, ignore_errors=True)

    def hashes(self) -> dict[str, str]:
        """SHA-256 of the arrays, by file name."""
        return self._record()["sha256"]

    def details(self) -> dict[str, Any]:
        """The dict that `write` returned."""
        return self._record()["details"]

    def array(self, name: str) -> np.ndarray:
        """A read-only memory map of `name`.npy."""
        self._record()
        return np.load(self.folder / f"{name}.npy", mmap_mode="r")

    def _record(self) -> dict[str, Any]:
        try:
            return json.loads((self.folder / self.record_name).read_text())
        except OSError:
            raise UserError(f"{self.folder} is missing: run python -m src.prepare with the same data settings") from None


def to_array(data: bytes, size: int, channels: int, crop: int | None = None) -> np.ndarray:
    """Decode an image file to uint8 [channels, size, size]: its centre square, resized with an antialiased bicubic filter.

    The EXIF rotation is applied, 16 bits are scaled to 8, transparent pixels become white, CMYK and palettes become RGB (or
    grey, ITU-R 601). An animation gives its first frame.

    data: the bytes of the file. channels: 1 or 3. crop: side in pixels of a centre square to cut out before the resize.
    Raises ValueError for other formats, and nearly any error, as Pillow does, for damaged bytes.
    """
    from PIL import Image, PngImagePlugin, UnidentifiedImageError

    # A long comment or colour profile is no fault; Pillow's bound for all text of a file stays.
    PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
            image = _upright(opened)
    except UnidentifiedImageError:
        raise ValueError(f"no image of these formats: {', '.join(FORMATS)}") from None
    if image.mode == "F":
        raise ValueError("floating-point pixels have no fixed range")
    if image.mode.startswith("I"):  # "I;16" and similar; "I" has 32 bits and must fit into 16
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65_535:
            raise ValueError("pixels of 32 bits have no fixed range")
        image = Image.fromarray(np.round(values / 257).astype(np.uint8))
    if crop is not None:
        image = _on_white(image, channels).crop(_centre(image.size, crop))
    return to_square(image, size, channels)


def to_square(image: Any, size: int, channels: int) -> np.ndarray:
    """A PIL image to uint8 [channels, size, size], as `to_array` does: its centre square, resized, on white."""
    from PIL import Image

    image = _on_white(image, channels)
    # Pixels outside the box count at its edges, as if the whole image were resized and then cropped.
    square = image.resize((size, size), Image.Resampling.BICUBIC, box=_centre(image.size, min(image.size)))
    return np.asarray(square).reshape(size, size, channels).transpose(2, 0, 1)  # [channels, size, size]


def _on_white(image: Any, channels: int) -> Any:
    """A PIL image in the mode L or RGB, transparent pixels white."""
    from PIL import Image

    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        white.alpha_composite(image.convert("RGBA"))
        image = white
    return image.convert("L" if channels == 1 else "RGB")


def _upright(image: Any) -> Any:
    """A copy of a PIL image, turned as its EXIF orientation says; other EXIF tags may be damaged.

    Not `ImageOps.exif_transpose`: it writes all tags again, and cameras leave some that Pillow cannot write.
    """
    from PIL import ExifTags, Image

    image.load()  # damaged pixels are an error, damaged EXIF is none
    turns = Image.Transpose
    methods = {
        2: turns.FLIP_LEFT_RIGHT,
        3: turns.ROTATE_180,
        4: turns.FLIP_TOP_BOTTOM,
        5: turns.TRANSPOSE,
        6: turns.ROTATE_270,
        7: turns.TRANSVERSE,
        8: turns.ROTATE_90,
    }
    try:
        method = methods.get(image.getexif().get(ExifTags.Base.Orientation))
    except Exception:  # Pillow raises nearly anything on damaged bytes
        method = None
    return image.copy() if method is None else image.transpose(method)


def _centre(size: tuple[int, int], side: int) -> tuple[int, int, int, int]:
    left, top = (size[0] - side) // 2, (size[1] - side) // 2
    return left, top, left + side, top + side


def write_images(path: Path, images: Iterable[np.ndarray], shape: tuple[int, ...]) -> None:
    """Write images one by one to an .npy file, uint8 [N, *shape]; N need not be known before the last image."""
    header = {"descr": "|u1", "fortran_order": False}
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, header | {"shape": (0, *shape)})
        count = 0
        for image in images:
            assert image.shape == shape
            file.write(image.tobytes())
            count += 1
        file.seek(0)  # NumPy pads the header, so any N fits into it
        np.lib.format.write_array_header_1_0(file, header | {"shape": (count, *shape)})
        file.flush()
        os.fsync(file.fileno())


def map_parallel(
    what: str, function: Callable[[Item], Result], items: list[Item], things: str = "images", portion: int = PORTION
) -> Iterator[Result]:
    """Yield `function` of each item in order, from threads on all cores (Pillow and hashlib release the GIL).

    what: text of the progress messages. things: what the items are. portion: items at once.
    """
    print(f"{what} {len(items):,} {things} ... ", end="", flush=True)
    last_report = time.monotonic()
    try:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for start in range(0, len(items), portion):
                yield from pool.map(function, items[start : start + portion])
                if time.monotonic() - last_report > PROGRESS:
                    print(f"{min(start + portion, len(items)):,} ", end="", flush=True)
                    last_report = time.monotonic()
    except BaseException:
        print("stopped", flush=True)
        raise
    print("done", flush=True)
