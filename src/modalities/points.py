"""Points in the plane, drawn as dots over the modes of the data.

Samples are [N, 2], float. A picture shows the square [-EDGE, EDGE]^2, with points outside it on its border. Rings are the modes
of src/data/gaussians.py, with a radius of 3 standard deviations, the limit of high quality.
"""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from src.config.errors import UserError
from src.data.gaussians import CENTRES, SIGMA
from src.data.spec import Spec
from src.modalities import pictures
from src.modalities.modality import check_nan
from src.modalities.pictures import png
from src.modalities.sidecars import begin_samples, earlier_files, end_samples, marks_of, write_archive, write_marked
from src.system.files import write_atomic

QUANTISATION = "none: float32 coordinates"

EDGE = 1.0
SIZE = 512  # pixels
FINE = 4  # factor of the fine canvas, which is averaged to SIZE for smooth edges
PAPER, RING, GRID = (255, 255, 255), (200, 206, 217), (242, 244, 248)
INK = np.array([24, 66, 148])
OPACITY = 0.55  # of one dot; overlapping dots are darker
DOT = 1.6  # radius in pixels
HUES = ((24, 66, 148), (200, 76, 9), (30, 122, 60), (128, 58, 150), (176, 20, 60), (0, 120, 140), (120, 92, 10), (80, 80, 80))


class Points:
    """Data whose `x` is a point (x, y)."""

    suffix = ".png"
    quantisation = QUANTISATION
    film = staticmethod(pictures.film)

    def __init__(self, spec: Spec) -> None:
        if spec.shape != (2,):
            raise UserError(f"points are [2], not {list(spec.shape)}: choose another modality for this data")
        self.spec = spec

    def finish(self, x: Tensor) -> Tensor:
        """The points as they are, float32. NaN raises Diverged."""
        return self.spec.x.to_data(check_nan(x))

    def save(self, samples: Iterable[Tensor], folder: str | Path, seeds: Sequence[int], provenance: Mapping[str, Any]) -> None:
        """`samples.csv` with a row (seed, x, y) for each point, with all digits of float32, and `samples.json`."""
        folder, name = Path(folder), "samples.csv"
        earlier = earlier_files(folder, [name])
        points = _points(torch.cat(list(samples)))
        if len(seeds) != len(points):
            raise ValueError(f"{len(points)} samples, but {len(seeds)} seeds")
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["seed", "x", "y"])
        writer.writerows([seed, f"{x:.9g}", f"{y:.9g}"] for seed, (x, y) in zip(seeds, points, strict=True))
        record = {"quantisation": QUANTISATION, "provenance": provenance, "seeds": list(seeds)}
        begin_samples(folder, earlier, marks_of(provenance) | record)
        write_atomic(folder / name, text.getvalue().encode())
        end_samples(folder)

    def save_archive(self, samples: Tensor, path: str | Path, seeds: Sequence[int], provenance: Mapping[str, Any]) -> None:
        """All points in one NumPy archive: `arr_0` is float32 [N, 2], `seeds` int64 [N]."""
        write_archive(path, seeds, provenance, arr_0=_points(samples))

    def preview(self, samples: Tensor, path: str | Path, provenance: Mapping[str, Any] | None = None) -> None:
        """A PNG with a dot for each point over the modes. The axes are always the same, so previews can form a film."""
        canvas = np.asarray(_canvas()[0], np.float64)
        depth = _depth(_points(samples))[:, :, None]  # [H, W, 1]
        clear = (1 - OPACITY) ** depth
        _write(canvas * clear + INK * (1 - clear), path, provenance)

    def strip(self, samples: Tensor, path: str | Path, provenance: Mapping[str, Any] | None = None) -> None:
        """Interpolations [R, T, 2] as a PNG: a path for each of R pairs, from a ring (start) to a dot (end)."""
        paths = _pixels(_points(samples.flatten(0, 1))).reshape(*samples.shape)
        canvas, draw = _canvas()
        for i, line in enumerate(paths):
            hue = HUES[i % len(HUES)]
            draw.line([tuple(point) for point in line], fill=hue, width=round(1.2 * FINE), joint="curve")
            for point in line[1:-1]:
                _circle(draw, point, 1.8, fill=hue)
            _circle(draw, line[0], 5, fill=PAPER, outline=hue, width=round(1.6 * FINE))
            _circle(draw, line[-1], 5, fill=hue)
        _write(np.asarray(canvas), path, provenance)

    def neighbours(
        self, samples: Tensor, nearest: Tensor, path: str | Path, provenance: Mapping[str, Any] | None = None
    ) -> None:
        """Each sample as a dot, with lines to the K training points `nearest` to it, [N, K, 2], in grey, as a PNG."""
        points, others = _pixels(_points(samples)), _pixels(_points(nearest.flatten(0, 1))).reshape(*nearest.shape)
        canvas, draw = _canvas()
        for point, near in zip(points, others, strict=True):
            for other in near:
                draw.line([tuple(point), tuple(other)], fill=(150, 155, 165), width=FINE)
                _circle(draw, other, 1.8, fill=(105, 110, 120))
        for point in points:
            _circle(draw, point, 3.5, fill=HUES[1])
        _write(np.asarray(canvas), path, provenance)


def _points(samples: Tensor) -> np.ndarray:
    """float32 [N, 2] on the CPU."""
    if samples.ndim != 2 or samples.shape[1] != 2:
        raise UserError(f"points are [N, 2], not {list(samples.shape)}: choose data of points for this model")
    if not len(samples):
        raise UserError("there are no points to show: ask for one sample or more")
    return check_nan(samples).detach().float().cpu().numpy()


def _pixels(points: np.ndarray) -> np.ndarray:
    """Coordinates [N, 2] -> pixels of the fine canvas, y upwards, [N, 2]; points outside are moved to its border."""
    inside = np.clip(points, -EDGE, EDGE) * [1, -1] / EDGE
    return (inside + 1) / 2 * (SIZE * FINE - 1)


def _canvas() -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """The fine canvas with axes and modes, and a drawing object for it."""
    canvas = Image.new("RGB", (SIZE * FINE, SIZE * FINE), PAPER)
    draw = ImageDraw.Draw(canvas)
    middle, end = SIZE * FINE // 2, SIZE * FINE
    draw.line([(0, middle), (end, middle)], fill=GRID, width=FINE)
    draw.line([(middle, 0), (middle, end)], fill=GRID, width=FINE)
    for centre in _pixels(CENTRES):
        _circle(draw, centre, 3 * SIGMA / EDGE * SIZE / 2, outline=RING, fill=GRID, width=FINE)
    return canvas, draw


def _circle(draw: ImageDraw.ImageDraw, centre: np.ndarray, radius: float, **style: Any) -> None:
    x, y = centre
    radius *= FINE
    draw.ellipse([x - radius, y - radius, x + radius, y + radius], **style)


def _depth(points: np.ndarray) -> np.ndarray:
    """Number of dots on each pixel of the fine canvas, [H, W]."""
    radius = DOT * FINE
    reach = np.arange(-int(radius), int(radius) + 1)
    across, down = (axis.ravel() for axis in np.meshgrid(reach, reach))
    disc = across**2 + down**2 <= radius**2
    centres = _pixels(points).round().astype(int)
    x, y = ((centres[:, axis, None] + offset[disc]).clip(0, SIZE * FINE - 1) for axis, offset in enumerate((across, down)))
    depth = np.zeros((SIZE * FINE, SIZE * FINE))
    np.add.at(depth, (y, x), 1)
    return depth


def _write(canvas: np.ndarray, path: str | Path, provenance: Mapping[str, Any] | None) -> None:
    """The fine canvas [H, W, 3], averaged to SIZE, as a PNG."""
    image = canvas.reshape(SIZE, FINE, SIZE, FINE, 3).mean(axis=(1, 3)).round().astype(np.uint8)
    write_marked(path, lambda marks: png(image, marks), provenance)
