"""The encoder of tunes as an extractor; `python -m src.tools.encoder of=tunes` makes its weights (weights/)."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from src.evaluation.extractors.pinned import Pinned
from src.evaluation.metrics.music.pieces import Pieces, whole, windows
from src.networks.parts_encoder import FIRST, PartsEncoder

NAME = "tune-cnn-1"
WEIGHTS = Path(__file__).parent / "weights" / f"{NAME}.safetensors"
# Made by `fit` with its defaults on the 33,069 training windows of folk tunes and chorales, with one thread. It finds
# 2.4 % of the half bars of unseen ones among 259 candidates.
SHA256 = "0c9c939416543a0534a1ee4eeab5aa0f48f3b33fff311168ac51a52256af3a78"
PARTS, BARS = 4, 2  # half bars and bars of a window
LOWEST, PITCHES = 36, 60  # C2 to B6: other pitches are moved by octaves
SYMBOLS = 1 + 2 * PITCHES  # silence; each pitch, held and begun
BATCH = 500  # windows at a time: rounding depends on it


def tokens(pieces: Pieces, bar: int, voice: int) -> Tensor:
    """A voice in windows of two whole bars from the beginning of each piece, int64 [W, PARTS, C], C = bar / 2 steps.

    bar: its steps, even. A token says what sounds at a step, and whether it begins there.
    """
    steps = BARS * bar
    sounds, onsets = (windows(values[..., voice], steps)[whole(pieces, steps)] for values in (pieces.sounds, pieces.onsets))
    low = np.minimum((sounds - LOWEST) // 12, 0)  # octaves below the range
    high = np.maximum((sounds - LOWEST - PITCHES) // 12 + 1, 0)
    place = sounds - LOWEST - 12 * (low + high)
    number = np.where(sounds >= 0, 1 + 2 * place + onsets, 0)
    return torch.from_numpy(FIRST + number).reshape(-1, PARTS, steps // PARTS)


class TuneFeatures(Pinned):
    """Features of windows by the encoder with the committed weights, or with weights from a file."""

    def __init__(self, weights: str | Path | None = None) -> None:
        super().__init__(NAME, WEIGHTS, SHA256, weights)

    def build(self, state: dict[str, Tensor]) -> None:
        self.encoder = PartsEncoder(SYMBOLS).eval()
        self.encoder.load_state_dict(state)

    @torch.inference_mode()
    def __call__(self, found: Tensor) -> Tensor:
        """Windows [W, PARTS, C] to features float32 [W, 2 D], on the CPU: means over the half bars of how well each follows
        those before it, and of what each is by itself.
        """
        return torch.cat([self._batch(part) for part in found.split(BATCH)])

    def _batch(self, x: Tensor) -> Tensor:
        parts = x.flatten(0, 1)
        lines = self.encoder.lines(parts, torch.full((len(parts),), parts.shape[1]))
        expected = self.encoder.expectations(lines, torch.arange(len(parts)) % PARTS)
        found = self.encoder.found(lines)
        return torch.cat([expected * found, found], dim=1).unflatten(0, (-1, PARTS)).mean(dim=1)
