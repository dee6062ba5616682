"""Image files made into arrays, once: a memory-mapped folder of .npy files, and what is needed to fill one."""

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

# No format that Pillow opens with another program (EPS) or that is no picture (PDF, HDF5).
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
PORTION = 64  # images in memory at once; Ctrl-C waits for no more
REVISION = 1  # raise it when the same file comes to mean other pixels: older caches are then left alone

Item = TypeVar("Item")
Result = TypeVar("Result")


class Decoded:
    """Arrays that are made once: a folder of .npy files, and a record of their hashes and of what they were made from.

    folder: appears when everything in it is whole. source: in plain JSON, all that the arrays are a function of.
    """

    record_name = "record.json"

    def __init__(self, folder: Path, source: dict[str, Any]) -> None:
        self.folder, self.source = folder, source

    def whole(self) -> bool:
        """Whether the arrays are there, made from this source, with every byte as recorded (a second for each GB or so)."""
        try:
            record = json.loads((self.folder / self.record_name).read_text())
            return record["source"] == self.source and all(
                digest(self.folder / name) == sha256 for name, sha256 in record["sha256"].items()
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return False

    def make(self, write: Callable[[Path], dict[str, Any]]) -> None:
        """Let `write(folder)` write the arrays, unless another process just has; what it returns goes into the record.

        Nothing of it stays where it fails or is interrupted. Raises UserError where the disk refuses.
        """
        from filelock import FileLock

        check_writable(self.folder.parent, "paths.data")
        part = self.folder.with_name(f".{self.folder.name}{TEMPORARY}")
        with FileLock(self.folder.with_name(f"{self.folder.name}.lock")):
            if self.whole():
                return
            if self.folder.exists():
                print(f"{self.folder}: damaged, or made from something else: made again", flush=True)
            shutil.rmtree(part, ignore_errors=True)  # what a killed process left
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
        """What `write` returned."""
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
    """The image in a file's bytes as uint8 [channels, size, size]: its centre square, resized with an antialiased bicubic.

    Turned upright by its EXIF tag, 16 bits scaled to 8, transparency laid on white, CMYK and palettes made RGB (or grey,
    ITU-R 601); of an animation the first frame. channels: 1 or 3. crop: of the original's centre, in pixels, before all that
    follows. Raises nearly anything, as Pillow does, for bytes that are no whole image.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
            image = ImageOps.exif_transpose(opened)
    except UnidentifiedImageError:
        raise ValueError(f"no image of these formats: {', '.join(FORMATS)}") from None
    if image.mode == "F":
        raise ValueError("floating-point pixels have no fixed range")
    if image.mode.startswith("I"):  # "I;16" and its kin; of 32 bits, "I", only what came from 16
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65_535:
            raise ValueError("pixels of 32 bits have no fixed range")
        image = Image.fromarray(np.round(values / 257).astype(np.uint8))
    elif image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        white.alpha_composite(image.convert("RGBA"))
        image = white
    image = image.convert("L" if channels == 1 else "RGB")
    if crop is not None:
        image = image.crop(_centre(image.size, crop))
    # What is outside the box still counts at its edges: the same as to resize all of the image and then to crop.
    square = image.resize((size, size), Image.Resampling.BICUBIC, box=_centre(image.size, min(image.size)))
    return np.asarray(square).reshape(size, size, channels).transpose(2, 0, 1)  # [channels, size, size]


def _centre(size: tuple[int, int], side: int) -> tuple[int, int, int, int]:
    left, top = (size[0] - side) // 2, (size[1] - side) // 2
    return left, top, left + side, top + side


def write_images(path: Path, images: Iterable[np.ndarray], shape: tuple[int, ...]) -> None:
    """An .npy file of uint8 [N, *shape], one image after the other: N may be known in the end only."""
    header = {"descr": "|u1", "fortran_order": False}
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, header | {"shape": (0, *shape)})
        count = 0
        for image in images:
            assert image.shape == shape
            file.write(image.tobytes())
            count += 1
        file.seek(0)  # NumPy's header has room for any length
        np.lib.format.write_array_header_1_0(file, header | {"shape": (count, *shape)})
        file.flush()
        os.fsync(file.fileno())


def each(what: str, function: Callable[[Item], Result], items: list[Item]) -> Iterator[Result]:
    """`function` of each item, in their order, on all cores (Pillow and hashes let go of Python's lock), with signs of life."""
    print(f"{what} {len(items):,} images ... ", end="", flush=True)
    spoken = time.monotonic()
    try:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for start in range(0, len(items), PORTION):
                yield from pool.map(function, items[start : start + PORTION])
                if time.monotonic() - spoken > PROGRESS:
                    print(f"{min(start + PORTION, len(items)):,} ", end="", flush=True)
                    spoken = time.monotonic()
    except BaseException:
        print("stopped", flush=True)
        raise
    print("done", flush=True)
