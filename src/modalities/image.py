"""What image tensors mean to a person: pixels, PNG files, grids, strips and films.

Every module in `src/modalities` offers these names; which one a data set means is its `spec.kind`.

samples: [N, C, H, W] with C = 1 (grey) or 3 (RGB), float in [-1, 1] as models make them or uint8 as data sets hold them.
provenance: what made them, in plain JSON values; its "model" is the hash of the generator's weights. A picture of generated
samples carries the marks that `read_provenance` gives back, and all of it lies in a JSON file beside the picture.

A file appears whole or not at all, and the JSON file comes last: where it is, the pictures it lists are complete.
"""

import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo
from torch import Tensor, uint8

from src import pixels
from src.errors import Diverged, UserError
from src.files import write_atomic
from src.pixels import QUANTISATION

SOFTWARE = "AIGC Lab"

CELL = 64  # pixels: smaller images are scaled up to about this in pictures for people
GAP = 2  # pixels between the cells of a grid
BACKGROUND = 128  # tells itself from the black of digits and the white of line drawings
CAPTION = 18  # pixels
FILM_FRAMES = 60
FILM_GREYS = 32  # together with the above: 4 MB where a grid of 64 digits is mostly noise, which nothing compresses
LAST_FRAME = 2000  # milliseconds


def to_uint8(x: Tensor) -> Tensor:
    """Pixels 0..255 of float images in [-1, 1], of any shape, by `QUANTISATION`. NaN raises Diverged."""
    if x.isnan().any():  # it would become black without a word
        raise Diverged("the samples contain NaN: the model has diverged, take an earlier checkpoint or lower its learning rate")
    return pixels.to_uint8(x)


def save(samples: Tensor, folder: str | Path, seeds: Sequence[int], provenance: Mapping[str, Any]) -> list[Path]:
    """One PNG per sample, named by its seed, and `samples.json` for them all; the paths of the PNGs, in order."""
    images, folder = _pixels(samples), Path(folder)
    if len(seeds) != len(images):
        raise ValueError(f"{len(images)} samples, but {len(seeds)} seeds")
    if len(set(seeds)) != len(seeds):
        raise UserError("a seed occurs twice, and each names one file: give every sample its own seed")
    width = max(6, *(len(str(seed)) for seed in seeds))
    paths = [folder / f"{seed:0{width}d}.png" for seed in seeds]
    folder.mkdir(parents=True, exist_ok=True)
    sidecar = folder / "samples.json"
    sidecar.unlink(missing_ok=True)
    for image, path, seed in zip(images, paths, seeds, strict=True):
        write_atomic(path, _png(image, {**_marks(provenance), "seed": str(seed)}), durable=False)  # there are thousands
    files = {path.name: seed for path, seed in zip(paths, seeds, strict=True)}
    record = {**_marks(provenance), "quantisation": QUANTISATION, "provenance": provenance, "seeds": files}
    write_atomic(sidecar, _json(record))
    return paths


def save_npz(samples: Tensor, path: str | Path, seeds: Sequence[int], provenance: Mapping[str, Any]) -> None:
    """All samples in one NumPy archive for other evaluators: `arr_0` is uint8 [N, H, W, C], `seeds` int64 [N]."""
    images = _pixels(samples)

    def encode(marks: dict[str, str]) -> bytes:
        buffer = io.BytesIO()
        np.savez_compressed(buffer, arr_0=images, seeds=np.asarray(seeds, np.int64), marks=json.dumps(marks))
        return buffer.getvalue()

    _picture(path, encode, provenance)


def preview(
    samples: Tensor,
    path: str | Path,
    columns: int | None = None,
    scale: int | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> None:
    """A grid in reading order as a PNG, `columns` wide (None: near-square), with pixels enlarged `scale` times.

    scale: whole number >= 1; None makes the cells about `CELL` wide, and never makes them smaller.
    """
    images = _pixels(samples)
    grid = _grid(images, columns or math.ceil(math.sqrt(len(images))), scale or _scale(images))
    _picture(path, lambda marks: _png(grid, marks), provenance)


def strip(samples: Tensor, path: str | Path, provenance: Mapping[str, Any] | None = None) -> None:
    """Interpolations [R, T, C, H, W] as a PNG: one row for each of R pairs, its T steps from left to right."""
    preview(samples.flatten(0, 1), path, columns=samples.shape[1], provenance=provenance)


def neighbours(samples: Tensor, nearest: Tensor, path: str | Path, provenance: Mapping[str, Any] | None = None) -> None:
    """Each sample and, right of a white line, the K training images `nearest` to it, [N, K, C, H, W], as a PNG."""
    left, right = _pixels(samples), _pixels(nearest.flatten(0, 1))
    scale = _scale(left)
    grids = [_grid(left, 1, scale), _grid(right, nearest.shape[1], scale)]
    line = np.full_like(grids[0][:, : 2 * GAP], 255)
    _picture(path, lambda marks: _png(np.concatenate([grids[0], line, grids[1]], axis=1), marks), provenance)


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

    _picture(path, encode, provenance)


def read_provenance(path: str | Path) -> dict[str, str]:
    """The marks inside a picture: Software, generated, model and, of single samples, seed; empty if it has none."""
    with Image.open(path) as image:
        if image.format == "GIF":
            return json.loads(image.info.get("comment", b"{}"))
        image.load()  # text may come after the pixels
        return dict(getattr(image, "text", {}))


def _pixels(samples: Tensor) -> np.ndarray:
    """uint8 [N, H, W, C] in the memory of the CPU."""
    if samples.ndim != 4 or samples.shape[1] not in (1, 3):
        shape = list(samples.shape)
        raise UserError(f"images are [N, C, H, W] with 1 or 3 channels, not {shape}: choose image data for this model")
    if not len(samples):
        raise UserError("there are no images to show: ask for one sample or more")
    images = samples.detach() if samples.dtype == uint8 else to_uint8(samples.detach())
    return images.permute(0, 2, 3, 1).cpu().numpy()


def _scale(images: np.ndarray) -> int:
    return max(1, round(CELL / max(images.shape[1:3])))


def _grid(images: np.ndarray, columns: int, scale: int) -> np.ndarray:
    """[N, H, W, C] -> one image [GAP + rows * (scale * H + GAP), GAP + columns * (scale * W + GAP), C]."""
    images = images.repeat(scale, axis=1).repeat(scale, axis=2)
    n, h, w, c = images.shape
    rows = math.ceil(n / columns)
    cells = np.full((rows * columns, h + GAP, w + GAP, c), BACKGROUND, np.uint8)
    cells[:n, :h, :w] = images
    grid = cells.reshape(rows, columns, h + GAP, w + GAP, c).swapaxes(1, 2)  # rows, h, columns, w, c
    grid = grid.reshape(rows * (h + GAP), columns * (w + GAP), c)
    return np.pad(grid, ((GAP, 0), (GAP, 0), (0, 0)), constant_values=BACKGROUND)


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


def _marks(provenance: Mapping[str, Any]) -> dict[str, str]:
    return {"Software": SOFTWARE, "generated": "true", "model": provenance["model"]}


def _png(image: np.ndarray, marks: Mapping[str, str]) -> bytes:
    """[H, W, C] -> a PNG file with one tEXt chunk for each mark."""
    info = PngInfo()
    for name, text in marks.items():
        info.add_text(name, text)
    buffer = io.BytesIO()
    Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image).save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def _json(record: Mapping[str, Any]) -> bytes:
    return (json.dumps(record, indent=1, ensure_ascii=False) + "\n").encode()


def _picture(path: str | Path, encode: Callable[[dict[str, str]], bytes], provenance: Mapping[str, Any] | None) -> None:
    """Write what `encode` makes of the marks, and its JSON file where there is something to say."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    sidecar = path.with_suffix(".json")
    sidecar.unlink(missing_ok=True)  # an older picture's
    marks = _marks(provenance) if provenance else {}
    write_atomic(path, encode(marks))
    if provenance:
        write_atomic(sidecar, _json({**marks, "file": path.name, "provenance": provenance}))
