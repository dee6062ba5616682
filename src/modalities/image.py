"""Images as PNG files, grids, strips and films.

Samples are [N, C, H, W] with C = 1 (grey) or 3 (RGB), uint8 or float in [-1, 1].
"""

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, uint8

from src.config.errors import UserError
from src.data import pixels
from src.data.pixels import QUANTISATION
from src.data.spec import Spec
from src.modalities import pictures
from src.modalities.modality import check_nan
from src.modalities.pictures import GAP, enlargement, grid, png
from src.modalities.sidecars import begin_samples, earlier_files, end_samples, marks_of, stems_of, write_archive, write_marked
from src.system.files import write_atomic

GRID = 400  # images of a preview at most


class Image:
    """Data whose `x` is an image of any size.

    Pictures of generated samples carry marks that `pictures.read_provenance` returns.
    """

    suffix = ".png"
    quantisation = QUANTISATION
    film = staticmethod(pictures.film)

    def __init__(self, spec: Spec) -> None:
        if len(spec.shape) != 3 or spec.shape[0] not in (1, 3):
            shape = list(spec.shape)
            raise UserError(f"images are [C, H, W] with 1 or 3 channels, not {shape}: choose another modality for this data")
        self.spec = spec

    def finish(self, x: Tensor) -> Tensor:
        """Float images in [-1, 1], any shape, to uint8 0..255 by `QUANTISATION`. NaN raises Diverged."""
        return self.spec.x.to_data(check_nan(x))

    def save(
        self,
        samples: Iterable[Tensor],
        folder: str | Path,
        seeds: Sequence[int],
        provenance: Mapping[str, Any],
        sources: Tensor | None = None,
    ) -> None:
        """One PNG per sample, named by its seed, and `samples.json`; earlier samples in the folder are deleted.

        samples: consecutive portions [n, C, H, W]. sources: pictures that the samples were made from, [N, C_s, H, W]; that of
        `000000.png` becomes `000000-source.png`.
        """
        folder, made = Path(folder), 0
        names, marks = [f"{stem}.png" for stem in stems_of(seeds)], marks_of(provenance)
        record = {"quantisation": QUANTISATION, "provenance": provenance, "seeds": dict(zip(names, seeds, strict=True))}
        beside = {} if sources is None else {name: name.replace(".png", "-source.png") for name in names}
        if beside:
            record["sources"] = beside
        earlier = earlier_files(folder, [*names, *beside.values()])
        for portion in samples:
            images = _pixels(portion)
            rows = slice(made, made + len(images))
            if rows.stop > len(seeds):
                raise ValueError(f"{rows.stop} samples, but {len(seeds)} seeds")
            if made == 0:  # only now, when there are new samples, delete the earlier ones
                begin_samples(folder, earlier, marks | record)
            for image, name, seed in zip(images, names[rows], seeds[rows], strict=True):
                data = png(image, {**marks, "seed": str(seed)})
                write_atomic(os.path.join(folder, name), data, durable=False)  # syncing thousands of files takes minutes
            if sources is not None:
                for source, name in zip(_pixels(sources[rows]), names[rows], strict=True):
                    write_atomic(os.path.join(folder, beside[name]), png(source, {}), durable=False)  # not generated: no marks
            made = rows.stop
        if made < len(seeds):
            raise ValueError(f"{made} samples, but {len(seeds)} seeds")
        end_samples(folder)

    def save_archive(self, samples: Tensor, path: str | Path, seeds: Sequence[int], provenance: Mapping[str, Any]) -> None:
        """All samples in one NumPy archive for other evaluators: `arr_0` is uint8 [N, H, W, C], `seeds` int64 [N]."""
        write_archive(path, seeds, provenance, arr_0=_pixels(samples))

    def preview(
        self,
        samples: Tensor,
        path: str | Path,
        provenance: Mapping[str, Any] | None = None,
        columns: int | None = None,
        scale: int | None = None,
        sources: Tensor | None = None,
    ) -> None:
        """A grid in reading order as a PNG, `columns` wide, with pixels enlarged `scale` times.

        columns: None for a near-square grid of the first `GRID` images.
        scale: whole number >= 1; None enlarges images to about `CELL` pixels, and never makes them smaller.
        sources: pictures that the samples were made from, [N, C_s, H, W]; each is left of its sample, in one cell of the grid.
        """
        images = _pixels(samples if columns else samples[:GRID])
        scale = scale or enlargement(images)
        across = math.sqrt(len(images))
        if sources is not None:
            images = np.concatenate(_alike(_pixels(sources[: len(images)]), images), axis=2)
            across /= math.sqrt(2)
        shown = grid(images, columns or math.ceil(across), scale)
        write_marked(path, lambda marks: png(shown, marks), provenance)

    def strip(self, samples: Tensor, path: str | Path, provenance: Mapping[str, Any] | None = None) -> None:
        """Interpolations [R, T, C, H, W] as a PNG: one row for each of R pairs, its T steps from left to right."""
        self.preview(samples.flatten(0, 1), path, provenance, columns=samples.shape[1])

    def neighbours(
        self, samples: Tensor, nearest: Tensor, path: str | Path, provenance: Mapping[str, Any] | None = None
    ) -> None:
        """Each sample and, right of a white line, the K training images `nearest` to it, [N, K, C, H, W], as a PNG."""
        left, right = _pixels(samples), _pixels(nearest.flatten(0, 1))
        scale = enlargement(left)
        grids = [grid(left, 1, scale), grid(right, nearest.shape[1], scale)]
        line = np.full_like(grids[0][:, : 2 * GAP], 255)
        write_marked(path, lambda marks: png(np.concatenate([grids[0], line, grids[1]], axis=1), marks), provenance)


def _pixels(samples: Tensor) -> np.ndarray:
    """uint8 [N, H, W, C] on the CPU."""
    if samples.ndim != 4 or samples.shape[1] not in (1, 3):
        shape = list(samples.shape)
        raise UserError(f"images are [N, C, H, W] with 1 or 3 channels, not {shape}: choose image data for this model")
    if not len(samples):
        raise UserError("there are no images to show: ask for one sample or more")
    images = samples if samples.dtype == uint8 else pixels.to_uint8(check_nan(samples))
    return images.detach().permute(0, 2, 3, 1).cpu().numpy()


def _alike(*parts: np.ndarray) -> list[np.ndarray]:
    """Images [N, H, W, 1 or 3] with as many channels as the one with the most."""
    channels = max(part.shape[3] for part in parts)
    return [np.broadcast_to(part, (*part.shape[:3], channels)) for part in parts]
