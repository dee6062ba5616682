"""Picture files for people: PNGs with marks, and films."""

import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from src.config.errors import UserError
from src.modalities.sidecars import write_marked
from src.system.files import write_atomic

CAPTION = 18  # pixels, the height
FILM_FRAMES = 60
FILM_GREYS = 32  # with FILM_FRAMES frames, 64 digits of mostly noise, which cannot be compressed, take 4 MB
LAST_FRAME = 2000  # milliseconds
CELL = 64  # pixels: pictures for people enlarge smaller images to about this
GAP = 2  # pixels between the cells of a grid
BACKGROUND = 128  # grey: differs from the black of digits and the white of line drawings


def film(
    frames: Sequence[str | Path | np.ndarray],
    path: str | Path,
    captions: Sequence[str] | None = None,
    milliseconds: int = 200,
    provenance: Mapping[str, Any] | None = None,
) -> None:
    """An endless GIF of previews: picture files, or uint8 arrays [H, W] or [H, W, 3].

    captions: one per frame, written below it.
    milliseconds: duration of each frame; the last one lasts at least `LAST_FRAME`.
    At most `FILM_FRAMES` frames are kept, evenly spaced, including the first and the last.
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

    write_marked(path, encode, provenance)


def read_provenance(path: str | Path) -> dict[str, str]:
    """The marks inside a picture: Software, generated, model and, for single samples, seed; empty if it has none."""
    with Image.open(path) as image:
        if image.format == "GIF":
            return json.loads(image.info.get("comment", b"{}"))
        image.load()  # the text of a PNG may come after its pixels
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


def captioned_strips(strips: Sequence[np.ndarray], captions: Sequence[str], path: str | Path) -> None:
    """A PNG of rows of real pictures, uint8 [N, H, W, C] each, with a caption below each row."""
    rows = [
        _captioned(_frame(grid(strip, len(strip), enlargement(strip)).repeat(3 // strip.shape[3], axis=2)), caption)
        for strip, caption in zip(strips, captions, strict=True)
    ]
    write_atomic(path, png(np.concatenate([np.asarray(row) for row in rows]), {}))


def _few_colours(image: Image.Image) -> Image.Image:
    if image.mode == "L":
        step = 255 / (FILM_GREYS - 1)
        return image.point([round(round(value / step) * step) for value in range(256)])
    return image.quantize(dither=Image.Dither.NONE)  # dithering would make flat areas flicker


def png(image: np.ndarray, marks: Mapping[str, str]) -> bytes:
    """uint8 [H, W, 1 or 3] -> a PNG file with one text chunk for each mark."""
    texts, buffer = PngInfo(), io.BytesIO()
    for name, text in marks.items():
        texts.add_text(name, text)
    Image.fromarray(image.squeeze(2) if image.shape[2] == 1 else image).save(buffer, "PNG", pnginfo=texts)
    return buffer.getvalue()


def enlargement(images: np.ndarray) -> int:
    """How many times pictures for people enlarge the pixels of images [..., H, W, C]."""
    return max(1, round(CELL / max(images.shape[-3:-1])))


def grid(images: np.ndarray, columns: int, scale: int) -> np.ndarray:
    """Images uint8 [N, H, W, C] in reading order to one image, or clips [N, T, H, W, C] to one clip [T, H', W', C].

    columns: cells in a row. scale: how many times pixels are enlarged. H' = GAP + rows * (scale * H + GAP), and W' likewise.
    """
    images = images.repeat(scale, axis=-3).repeat(scale, axis=-2)
    n, *frames, h, w, c = images.shape
    rows = math.ceil(n / columns)
    cells = np.full((rows * columns, *frames, h + GAP, w + GAP, c), BACKGROUND, np.uint8)
    cells[:n, ..., :h, :w, :] = images
    below = np.concatenate(np.split(cells, rows), axis=-3)  # [columns, ..., rows * (h + GAP), w + GAP, C]
    beside = np.concatenate(list(below), axis=-2)
    return np.pad(beside, [*[(0, 0)] * len(frames), (GAP, 0), (GAP, 0), (0, 0)], constant_values=BACKGROUND)
