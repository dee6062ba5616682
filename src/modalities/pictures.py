"""Picture files for people: PNG with marks, films, and the JSON file beside each."""

import io
import json
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from src.config.errors import UserError
from src.system.files import write_atomic

SOFTWARE = "AIGC Lab"

# PNG's: first bytes, colour types, filters of lines
SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, RGB = 0, 2
UNCHANGED, UP = 0, 2

CAPTION = 18  # pixels
FILM_FRAMES = 60
FILM_GREYS = 32  # together with the above: 4 MB where a grid of 64 digits is mostly noise, which nothing compresses
LAST_FRAME = 2000  # milliseconds


def film(
    frames: Sequence[str | Path | np.ndarray],
    path: str | Path,
    milliseconds: int = 200,
    captions: Sequence[str] | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> None:
    """An endless GIF of previews: picture files, or uint8 arrays [H, W] or [H, W, 3].

    milliseconds: for each frame; the last one stays for `LAST_FRAME` or more.
    captions: one per frame, written beneath it.
    Of more than `FILM_FRAMES` frames that many are kept, evenly spaced, the first and the last among them.
    """
    if not frames:
        raise UserError("there is no frame to film: train with previews switched on first")
    kept = np.linspace(0, len(frames) - 1, min(len(frames), FILM_FRAMES)).round().astype(int)
    images = [_frame(frames[i]) for i in kept]
    if len({(image.mode, image.size) for image in images}) > 1:
        raise UserError("the frames differ in size or colour: film the previews of one run only")
    if captions is not None:
        images = [_captioned(image, captions[i]) for image, i in zip(images, kept, strict=True)]
    images = [_few_colours(image) for image in images]

    def encode(marks: dict[str, str]) -> bytes:
        buffer = io.BytesIO()
        durations = [milliseconds] * (len(images) - 1) + [max(milliseconds, LAST_FRAME)]
        comment = json.dumps(marks).encode() if marks else b""
        images[0].save(buffer, "GIF", save_all=True, append_images=images[1:], duration=durations, loop=0, comment=comment)
        return buffer.getvalue()

    write_picture(path, encode, provenance)


def read_provenance(path: str | Path) -> dict[str, str]:
    """The marks inside a picture: Software, generated, model and, of single samples, seed; empty if it has none."""
    with Image.open(path) as image:
        if image.format == "GIF":
            return json.loads(image.info.get("comment", b"{}"))
        image.load()  # text may come after the pixels
        return dict(getattr(image, "text", {}))


def _frame(frame: str | Path | np.ndarray) -> Image.Image:
    if isinstance(frame, np.ndarray):
        return Image.fromarray(frame)
    with Image.open(frame) as image:
        return image.convert("L" if image.mode == "L" else "RGB")


def _captioned(image: Image.Image, caption: str) -> Image.Image:
    canvas = Image.new(image.mode, (image.width, image.height + CAPTION), "white")
    canvas.paste(image)
    ImageDraw.Draw(canvas).text((4, image.height + 2), caption, fill="black", font=ImageFont.load_default(12))
    return canvas


def _few_colours(image: Image.Image) -> Image.Image:
    if image.mode == "L":
        step = 255 / (FILM_GREYS - 1)
        return image.point([round(round(value / step) * step) for value in range(256)])
    return image.quantize(dither=Image.Dither.NONE)  # dithering would make flat areas flicker


def marks_of(provenance: Mapping[str, Any]) -> dict[str, str]:
    """What a file says of itself: that it was generated, with what and by which model."""
    return {"Software": SOFTWARE, "generated": "true", "model": provenance["model"]}


def png(image: np.ndarray, marks: Mapping[str, str]) -> bytes:
    """uint8 [H, W, 1 or 3] -> a PNG file with one tEXt chunk for each mark (ASCII), as in the PNG specification."""
    return next(pngs(image[None], [marks], zlib.Z_DEFAULT_STRATEGY))


def pngs(images: np.ndarray, marks: Iterable[Mapping[str, str]], strategy: int = zlib.Z_RLE) -> Iterator[bytes]:
    """uint8 [N, H, W, 1 or 3] -> a PNG file for each, with its marks.

    strategy: of zlib. Z_RLE, which looks for repeated bytes only, makes single samples about as small in 0.2 to 0.7 of the
        time; grids, whose cells are enlarged, want the default.
    Pillow takes twice as long for a small image, and there are tens of thousands.
    """
    count, height, width, channels = images.shape
    lines = np.empty((count, height, 1 + width * channels), np.uint8)
    lines[..., 0] = UP if channels == 3 else UNCHANGED  # ahead of each line: its filter
    lines[..., 1:] = images.reshape(count, height, -1)
    if channels == 3:  # photographs compress better as differences to the line above, drawings in black and white do not
        lines[:, 1:, 1:] -= lines[:, :-1, 1:]
    header = struct.pack(">2I5B", width, height, 8, {1: GREY, 3: RGB}[channels], 0, 0, 0)
    start, end = SIGNATURE + _chunk(b"IHDR", header), _chunk(b"IEND", b"")
    for pixels, texts in zip(lines, marks, strict=True):
        deflate = zlib.compressobj(strategy=strategy)
        chunks = [*(_text(*mark) for mark in texts.items()), _chunk(b"IDAT", deflate.compress(pixels) + deflate.flush())]
        yield b"".join([start, *chunks, end])


@lru_cache  # all but one of a sample's marks are those of the sample before it
def _text(name: str, text: str) -> bytes:
    return _chunk(b"tEXt", f"{name}\0{text}".encode("ascii"))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))


def sidecar_json(record: Mapping[str, Any]) -> bytes:
    """The contents of the file beside a picture."""
    return (json.dumps(record, indent=1, ensure_ascii=False) + "\n").encode()


def write_picture(path: str | Path, encode: Callable[[dict[str, str]], bytes], provenance: Mapping[str, Any] | None) -> None:
    """Write what `encode` makes of the marks, and its JSON file where there is something to say."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    sidecar = path.with_suffix(".json")
    sidecar.unlink(missing_ok=True)  # an older picture's
    marks = marks_of(provenance) if provenance else {}
    write_atomic(path, encode(marks))
    if provenance:
        write_atomic(sidecar, sidecar_json({**marks, "file": path.name, "provenance": provenance}))
