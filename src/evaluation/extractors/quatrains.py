"""The encoder of Chinese quatrains as an extractor; `python -m src.tools.encoder` makes its weights (weights/)."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from src.evaluation.extractors.pinned import Pinned
from src.evaluation.metrics.quatrains import HAN
from src.networks.parts_encoder import FIRST, UNKNOWN, PartsEncoder

NAME = "quatrain-cnn-1"
WEIGHTS = Path(__file__).parent / "weights" / f"{NAME}.safetensors"
# Made by `train_encoder` with its defaults on the 89,663 training quatrains, with one thread. It finds 2.5 % of the lines of
# unseen quatrains among 259 candidates.
SHA256 = "122c3c76de6f8eeede11f1e4a582f105d2c6b5bf0b0cd907f06edec306b6c312"
CODES = "characters"  # the tensor of the alphabet's code points, beside the weights
BATCH = 250  # texts at a time: rounding depends on it


class Alphabet:
    """The characters of an encoder as tokens.

    characters: each once, in the order of code points.
    """

    def __init__(self, characters: str) -> None:
        self.characters = characters
        self.codes = np.array(list(map(ord, characters)), np.int64)

    def encode(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Tokens int64 [N, C], padded with 0, and how many of them count, int64 [N]. Other characters are UNKNOWN."""
        length = np.array([len(text) for text in texts], np.int64)
        points = np.frombuffer("".join(texts).encode("utf-32-le"), "<u4").astype(np.int64)
        place = np.searchsorted(self.codes, points).clip(max=len(self.codes) - 1)
        x = np.zeros((len(texts), max(1, length.max(initial=0))), np.int64)
        x[np.arange(x.shape[1]) < length[:, None]] = np.where(self.codes[place] == points, place + FIRST, UNKNOWN)
        return torch.from_numpy(x), torch.from_numpy(length)

    def coverage(self, texts: Sequence[str]) -> float:
        """Share of the ideographs of texts that are in the alphabet, 0 to 1; 0 without any."""
        tokens, length = self.encode(["".join(lines_of(text)) for text in texts])
        return int((tokens >= FIRST).sum()) / max(int(length.sum()), 1)


class QuatrainFeatures(Pinned):
    """Features of texts by the encoder with the committed weights, or with weights from a file."""

    def __init__(self, weights: str | Path | None = None) -> None:
        super().__init__(NAME, WEIGHTS, SHA256, weights)

    def build(self, state: dict[str, Tensor]) -> None:
        self.alphabet = Alphabet("".join(map(chr, state.pop(CODES).tolist())))
        self.encoder = PartsEncoder(len(self.alphabet.characters)).eval()
        self.encoder.load_state_dict(state)

    @torch.inference_mode()
    def __call__(self, texts: Sequence[str]) -> Tensor:
        """Features float32 [N, D], on the CPU: means over the lines of a text of how well each follows those before it."""
        return torch.cat([self._batch(texts[start : start + BATCH]) for start in range(0, len(texts), BATCH)])

    def _batch(self, texts: Sequence[str]) -> Tensor:
        lines = [lines_of(text) or [""] for text in texts]
        place = torch.tensor([place for found in lines for place in range(len(found))])
        text = torch.tensor([number for number, found in enumerate(lines) for _ in found])
        products = self.encoder(*self.alphabet.encode([line for found in lines for line in found]), place)  # [M, D]
        total = products.new_zeros(len(texts), products.shape[1]).index_add(0, text, products)
        return total / torch.bincount(text)[:, None]


def lines_of(text: str) -> list[str]:
    """The runs of ideographs in a text."""
    return re.findall(f"{HAN}+", text)
