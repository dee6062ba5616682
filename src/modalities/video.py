"""Video: clips as GIF and MP4 files, and as pictures with a row of frames for each clip.

Samples are [N, T, C, H, W] with C = 1 (grey) or 3 (RGB), uint8 or float in [-1, 1].
"""

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, uint8

from src.config.errors import UserError
from src.data.pixels import QUANTISATION, to_uint8
from src.data.spec import Spec
from src.modalities import pictures
from src.modalities.clips import SUFFIXES, encode, gif
from src.modalities.modality import check_nan
from src.modalities.pictures import enlargement, grid, png
from src.modalities.sidecars import begin_samples, earlier_files, end_samples, marks_of, stems_of, write_archive, write_marked
from src.system.files import write_atomic

ROWS = 16  # clips of a preview at most
MOVING = 64  # clips of a moving preview at most


class Video:
    """Data whose `x` is a clip: the field's `rate` is its frames per second.

    Files of generated clips carry marks that `clips.read_marks` returns. The files of provenance have the SHA-256 of each
    clip's frames before they are encoded, since encoded bytes depend on the version of FFmpeg: `frames_sha256`.
    """

    suffix = ".png"
    formats = SUFFIXES
    usual = 16  # samples, where the user asks for no number
    film = staticmethod(pictures.film)

    def __init__(self, spec: Spec) -> None:
        if spec.kind != "video" or len(spec.shape) != 4 or spec.shape[1] not in (1, 3) or not spec.x.rate:
            found = f"{spec.kind} {list(spec.shape)}"
            raise UserError(
                f"video is [T, C, H, W] with 1 or 3 channels and a rate, not {found}: choose another modality for this data"
            )
        self.spec, self.rate = spec, spec.x.rate

    def finish(self, x: Tensor) -> Tensor:
        """Float clips in [-1, 1], any shape, to uint8 0..255 by `QUANTISATION`. NaN raises Diverged."""
        return self.spec.x.to_data(check_nan(x))

    def save(self, samples: Iterable[Tensor], folder: str | Path, seeds: Sequence[int], provenance: Mapping[str, Any]) -> None:
        """One GIF per sample, named by its seed, and `samples.json`; earlier samples in the folder are deleted.

        samples: consecutive portions [n, T, C, H, W].
        """
        folder, clips = Path(folder), _frames(torch.cat(list(samples)))
        if len(clips) != len(seeds):
            raise ValueError(f"{len(clips)} samples, but {len(seeds)} seeds")
        names, marks = [f"{stem}.gif" for stem in stems_of(seeds)], marks_of(provenance)
        record = {
            "quantisation": QUANTISATION,
            "provenance": provenance,
            "seeds": dict(zip(names, seeds, strict=True)),
            "frames_sha256": dict(zip(names, map(frames_hash, clips), strict=True)),
        }
        begin_samples(folder, earlier_files(folder, names), marks | record)
        for clip, name, seed in zip(clips, names, seeds, strict=True):
            write_atomic(folder / name, gif(clip, self.rate, {**marks, "seed": str(seed)}), durable=False)
        end_samples(folder)

    def save_one(self, sample: Tensor, path: str | Path, seed: int, provenance: Mapping[str, Any]) -> None:
        """One sample [T, C, H, W] as a file with a suffix of `formats`, and a JSON file beside it."""
        (clip,), own = _frames(sample[None]), {"seed": str(seed)}
        provenance = {**provenance, "frames_sha256": frames_hash(clip)}
        write_marked(path, lambda marks: encode(clip, self.rate, Path(path).suffix, marks | own), provenance)

    def save_archive(self, samples: Tensor, path: str | Path, seeds: Sequence[int], provenance: Mapping[str, Any]) -> None:
        """All samples in one NumPy archive: `frames` is uint8 [N, T, H, W, C], `rate` frames per second, `seeds` int64 [N]."""
        write_archive(path, seeds, provenance, frames=_frames(samples), rate=np.float64(self.rate))

    def preview(self, samples: Tensor, path: str | Path, provenance: Mapping[str, Any] | None = None) -> None:
        """A PNG with the frames of each of the first `ROWS` clips in a row. With provenance, beside it a GIF that moves."""
        clips = _frames(samples)
        self._write(clips[:ROWS].reshape(-1, *clips.shape[2:]), clips.shape[1], clips[:MOVING], None, path, provenance)

    def strip(self, samples: Tensor, path: str | Path, provenance: Mapping[str, Any] | None = None) -> None:
        """Interpolations [R, S, T, C, H, W]: a PNG with the middle frames, and beside it a GIF in which all clips move.

        One row for each of R pairs, its S steps from left to right.
        """
        steps = samples.shape[1]
        clips = _frames(samples.flatten(0, 1))
        self._write(clips[:, clips.shape[1] // 2], steps, clips, steps, path, provenance, always=True)

    def move(self, samples: Tensor, path: str | Path) -> Path:
        """The first clips side by side as a GIF beside `path`: for logs and pages."""
        moving = Path(path).with_suffix(".gif")
        write_atomic(moving, gif(side_by_side(_frames(samples[:ROWS])), self.rate, {}))
        return moving

    def _write(
        self,
        images: np.ndarray,
        columns: int,
        clips: np.ndarray,
        clip_columns: int | None,
        path: str | Path,
        provenance: Mapping[str, Any] | None,
        always: bool = False,
    ) -> None:
        """A PNG with a grid of images [M, H, W, C] and, with provenance or `always`, a GIF with clips [N, T, H, W, C]."""
        shown = grid(images, columns, enlargement(images))
        moving = partial(gif, side_by_side(clips, clip_columns), self.rate)
        beside = {".gif": moving} if provenance or always else None
        write_marked(path, lambda marks: png(shown, marks), provenance, beside)


def frames_hash(clip: np.ndarray) -> str:
    """SHA-256 of the frames uint8 [T, H, W, C] of a clip."""
    return hashlib.sha256(np.ascontiguousarray(clip).tobytes()).hexdigest()


def side_by_side(clips: np.ndarray, columns: int | None = None) -> np.ndarray:
    """Clips uint8 [N, T, H, W, C] to one clip with a grid of them, in reading order; `columns` wide, or near-square.

    Small pixels are enlarged.
    """
    return grid(clips, columns or math.ceil(math.sqrt(len(clips))), enlargement(clips))


def _frames(samples: Tensor) -> np.ndarray:
    """uint8 [N, T, H, W, C] on the CPU."""
    if samples.ndim != 5 or samples.shape[2] not in (1, 3):
        shape = list(samples.shape)
        raise UserError(f"video is [N, T, C, H, W] with 1 or 3 channels, not {shape}: choose video data for this model")
    if not len(samples):
        raise UserError("there are no clips to show: ask for one sample or more")
    clips = samples if samples.dtype == uint8 else to_uint8(check_nan(samples))
    return clips.detach().permute(0, 1, 3, 4, 2).cpu().numpy()
