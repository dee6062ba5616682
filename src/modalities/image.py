"""What image tensors mean to a person: pixels, PNG files, grids, strips and films.

A data set's `spec.kind` names the module in `src/modalities` that knows its samples; each offers the names in `__all__`.

samples: [N, C, H, W] with C = 1 (grey) or 3 (RGB), float in [-1, 1] as models make them or uint8 as data sets hold them.
provenance: what made them, in plain JSON values; its "model" is the hash of the generator's weights. A picture of generated
samples carries the marks that `read_provenance` gives back, and all of it lies in a JSON file beside the picture.

A file appears whole or not at all, and the JSON file comes last: where it is, the pictures it lists are complete. Until
then `unfinished.json` lists the samples that are being written.
"""

import io
import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, uint8

from src.config.errors import Diverged, UserError
from src.data import pixels
from src.data.pixels import QUANTISATION
from src.modalities.pictures import film, marks_of, png, pngs, read_provenance, sidecar_json, write_picture
from src.system.files import read_json, write_atomic

__all__ = ["QUANTISATION", "film", "neighbours", "preview", "read_provenance", "save", "save_npz", "strip", "to_uint8"]

CELL = 64  # pixels: smaller images are scaled up to about this in pictures for people
GRID = 400  # images, the most that a person looks at
GAP = 2  # pixels between the cells of a grid
BACKGROUND = 128  # tells itself from the black of digits and the white of line drawings


def to_uint8(x: Tensor) -> Tensor:
    """Pixels 0..255 of float images in [-1, 1], of any shape, by `QUANTISATION`. NaN raises Diverged."""
    if x.isnan().any():  # it would become black without a word
        raise Diverged("the samples contain NaN: the model has diverged, take an earlier checkpoint or lower its learning rate")
    return pixels.to_uint8(x)


def save(samples: Tensor | Iterable[Tensor], folder: str | Path, seeds: Sequence[int], provenance: Mapping[str, Any]) -> None:
    """One PNG per sample, named by its seed, and `samples.json` for them all.

    samples: all of them, or portions that follow each other: each is written while the next one is made.
    """
    folder, made = Path(folder), 0
    if len(set(seeds)) != len(seeds):
        raise UserError("a seed occurs twice, and each names one file: give every sample its own seed")
    width = max([6, *(len(str(seed)) for seed in seeds)])
    names = [f"{seed:0{width}d}.png" for seed in seeds]
    listed, marks = {"seeds": dict(zip(names, seeds, strict=True))}, marks_of(provenance)
    sidecar, unfinished = folder / "samples.json", folder / "unfinished.json"

    def write(images: np.ndarray, first: int) -> None:
        if first == 0:
            folder.mkdir(parents=True, exist_ok=True)
            forget(sidecar)
            forget(unfinished)
            write_atomic(unfinished, sidecar_json(listed))
        rows = slice(first, first + len(images))
        for name, data in zip(names[rows], pngs(images, ({**marks, "seed": str(seed)} for seed in seeds[rows])), strict=True):
            write_atomic(os.path.join(folder, name), data, durable=False)  # there are thousands, and pathlib takes its time

    with ThreadPoolExecutor(1) as writer:
        writing: Future[None] | None = None
        for portion in [samples] if isinstance(samples, Tensor) else samples:
            images = _pixels(portion)
            if made + len(images) > len(seeds):
                raise ValueError(f"{made + len(images)} samples, but {len(seeds)} seeds")
            if writing:
                writing.result()
            writing = writer.submit(write, images, made)
            made += len(images)
        if writing:
            writing.result()
    if made < len(seeds):
        raise ValueError(f"{made} samples, but {len(seeds)} seeds")
    write_atomic(sidecar, sidecar_json({**marks, "quantisation": QUANTISATION, "provenance": provenance, **listed}))
    unfinished.unlink(missing_ok=True)  # there is none where there are no samples


def forget(sidecar: Path) -> None:
    """Delete the pictures that an earlier list names, and then itself: no folder holds samples of two models."""
    if sidecar.is_file():
        for name in read_json(sidecar, "delete it").get("seeds", {}):
            (sidecar.parent / Path(str(name)).name).unlink(missing_ok=True)
        sidecar.unlink()


def save_npz(samples: Tensor, path: str | Path, seeds: Sequence[int], provenance: Mapping[str, Any]) -> None:
    """All samples in one NumPy archive for other evaluators: `arr_0` is uint8 [N, H, W, C], `seeds` int64 [N]."""
    images = _pixels(samples)

    def encode(marks: dict[str, str]) -> bytes:
        buffer = io.BytesIO()
        np.savez_compressed(buffer, arr_0=images, seeds=np.asarray(seeds, np.int64), marks=json.dumps(marks))
        return buffer.getvalue()

    write_picture(path, encode, provenance)


def preview(
    samples: Tensor,
    path: str | Path,
    columns: int | None = None,
    scale: int | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> None:
    """A grid in reading order as a PNG, `columns` wide, with pixels enlarged `scale` times.

    columns: None for a near-square grid of the first `GRID` images.
    scale: whole number >= 1; None makes the cells about `CELL` wide, and never makes them smaller.
    """
    images = _pixels(samples if columns else samples[:GRID])
    grid = _grid(images, columns or math.ceil(math.sqrt(len(images))), scale or _scale(images))
    write_picture(path, lambda marks: png(grid, marks), provenance)


def strip(samples: Tensor, path: str | Path, provenance: Mapping[str, Any] | None = None) -> None:
    """Interpolations [R, T, C, H, W] as a PNG: one row for each of R pairs, its T steps from left to right."""
    preview(samples.flatten(0, 1), path, columns=samples.shape[1], provenance=provenance)


def neighbours(samples: Tensor, nearest: Tensor, path: str | Path, provenance: Mapping[str, Any] | None = None) -> None:
    """Each sample and, right of a white line, the K training images `nearest` to it, [N, K, C, H, W], as a PNG."""
    left, right = _pixels(samples), _pixels(nearest.flatten(0, 1))
    scale = _scale(left)
    grids = [_grid(left, 1, scale), _grid(right, nearest.shape[1], scale)]
    line = np.full_like(grids[0][:, : 2 * GAP], 255)
    write_picture(path, lambda marks: png(np.concatenate([grids[0], line, grids[1]], axis=1), marks), provenance)


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
