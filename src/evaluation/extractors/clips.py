"""The encoder of clips as an extractor; `python -m src.tools.encoder of=clips` makes its weights (weights/)."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from src.data.moving_mnist import DIGIT
from src.data.pixels import from_uint8
from src.evaluation.extractors.classifiers import LUMINANCE
from src.evaluation.extractors.pinned import Pinned
from src.networks.clip_encoder import CELL, SIDE, ClipEncoder

NAME = "clip-cnn-1"
WEIGHTS = Path(__file__).parent / "weights" / f"{NAME}.safetensors"
# Made by `train_clip_encoder` with its defaults on training clips of Moving MNIST, with one thread. It tells three quarters of
# unseen spoiled clips from each other, by the six kinds of src/tools/clip_training.py.
SHA256 = "b9d61fc1e50d5f8265ce7b787ae0a55b022618cbfc08e69f3589767075017d45"
BATCH = 20  # clips at a time: rounding depends on it
CERTAIN = 0.3  # probability from which on a digit is there; with 0.5, more digits that are near each other are missed
APART = 6.0  # pixels: nearer finds are the same thing


class Digits(NamedTuple):
    """The digits that are found in each frame, at most two, the more certain one first.

    places: of their upper left corner, (x, y) in pixels, float64 [N, T, 2, 2], NaN where there is none. classes: [N, T, 2],
    -1 where there is none.
    """

    places: np.ndarray
    classes: np.ndarray


class ClipFeatures(Pinned):
    """Features of clips by the encoder with the committed weights, or with weights from a file.

    Clips are uint8 [N, T, C, H, W]; frames of other sizes are resized to 64 x 64, colours become grey.
    """

    def __init__(self, weights: str | Path | None = None) -> None:
        super().__init__(NAME, WEIGHTS, SHA256, weights)

    def build(self, state: dict[str, Tensor]) -> None:
        self.encoder = ClipEncoder().eval()
        self.encoder.load_state_dict(state)

    @torch.inference_mode()
    def __call__(self, clips: np.ndarray | Tensor) -> Tensor:
        """Features float32 [N, D], on the CPU."""
        found = [self.encoder.features(self.maps(part)) for part in torch.as_tensor(clips).split(BATCH)]
        return torch.cat(found)

    def maps(self, clips: Tensor) -> Tensor:
        """Features of frames, [B, T, ., 8, 8]."""
        x = clips.flatten(0, 1).to(next(self.encoder.parameters()).dtype)  # [B T, C, H, W]
        if x.shape[1] == 3:
            x = torch.einsum("bchw,c->bhw", x, LUMINANCE.to(x))[:, None]
        if x.shape[2:] != (SIDE, SIDE):
            x = F.interpolate(x, (SIDE, SIDE), mode="bilinear", antialias=True)
        return self.encoder.maps(from_uint8(x)).unflatten(0, clips.shape[:2])

    @torch.inference_mode()
    def digits(self, clips: np.ndarray | Tensor) -> Digits:
        """The digits in clips of moving_mnist; each frame by itself."""
        parts = [self._digits(part) for part in torch.as_tensor(clips).split(BATCH)]
        return Digits(*(np.concatenate(found) for found in zip(*parts, strict=True)))

    def _digits(self, clips: Tensor) -> Digits:
        found = self.encoder.find(self.maps(clips).flatten(0, 1))
        side = found.presence.shape[-1]
        cells = torch.stack(torch.meshgrid(torch.arange(side), torch.arange(side), indexing="xy"))  # x, y
        centres = CELL * (cells + 0.5 + found.offset).flatten(2).transpose(1, 2)  # [B T, 64, 2]
        certain = found.presence.sigmoid().flatten(1)  # [B T, 64]
        classes = found.classes.flatten(2).argmax(dim=1)  # [B T, 64]
        places, kinds = [], []
        for _ in range(2):
            best, cell = certain.max(dim=1)
            centre = centres.take_along_dim(cell[:, None, None], dim=1)  # [B T, 1, 2]
            there = best > CERTAIN
            places.append(torch.where(there[:, None], centre[:, 0] - DIGIT / 2, torch.nan))
            kinds.append(torch.where(there, classes.take_along_dim(cell[:, None], dim=1)[:, 0], -1))
            certain = certain.masked_fill((centres - centre).norm(dim=2) < APART, 0)
        shape = clips.shape[:2]
        return Digits(
            torch.stack(places, dim=1).unflatten(0, shape).double().numpy(),
            torch.stack(kinds, dim=1).unflatten(0, shape).numpy(),
        )
