"""`ngrams`: features of texts without any weights, which count the n-grams of characters."""

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

NAME = "ngrams"
ORDERS, SIZE = (1, 2, 3), 32
MIX = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)  # of splitmix64 (Steele et al. 2014)


class NGramFeatures:
    """Signed counts of the n-grams of a text, n = 1, 2, 3, hashed to SIZE numbers for each n (Weinberger et al. 2009).

    They are divided by the square root of the number of n-grams, so that their variance does not depend on the length. The mean
    of these features is a random projection of the frequencies of n-grams.
    """

    name = NAME
    sha256 = hashlib.sha256(f"{ORDERS} {SIZE} {MIX}".encode()).hexdigest()  # of the settings

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """Features float32 [N, SIZE * 3] on the CPU."""
        length = np.array([len(text) for text in texts], np.int64)
        row = np.repeat(np.arange(len(texts)), length)  # [M], the text of each character
        codes = np.frombuffer("".join(texts).encode("utf-32-le"), "<u4").astype(np.uint64)
        features = np.zeros((len(texts), len(ORDERS), SIZE))
        hashes = np.zeros_like(codes)
        for place, n in enumerate(ORDERS):
            count = max(len(codes) - n + 1, 0)
            hashes = mixed(hashes[:count] + codes[n - 1 :] + np.uint64(1))
            within = row[:count] == row[n - 1 :]  # an n-gram does not go beyond the end of its text
            chosen, number = hashes[within], row[:count][within]
            sign = np.where(chosen >> np.uint64(63), 1.0, -1.0)
            np.add.at(features, (number, place, (chosen % np.uint64(SIZE)).astype(np.int64)), sign)
            features[:, place] /= np.sqrt(np.maximum(length - n + 1, 1))[:, None]
        return torch.from_numpy(features.reshape(len(texts), -1).astype(np.float32))


def mixed(x: np.ndarray) -> np.ndarray:
    """splitmix64's mixing of uint64."""
    x = (x ^ (x >> np.uint64(30))) * MIX[0]
    x = (x ^ (x >> np.uint64(27))) * MIX[1]
    return x ^ (x >> np.uint64(31))
