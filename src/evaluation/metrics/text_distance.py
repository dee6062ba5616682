"""Distances of texts, in features of pairs of characters, which are found in the training texts, or in those of an encoder."""

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import torch
from scipy import sparse
from sklearn.utils.extmath import randomized_svd
from torch import Tensor

from src.evaluation.metrics.distances import frechet_distance, spread, statistics
from src.evaluation.metrics.mauve import divergences

CHARACTERS = 1000  # the most frequent ones have vectors of their own; all others share one
OFFSETS, RANK = (1, 2), 8
SMOOTHING = 0.75  # exponent of the frequencies of the second character (Levy et al. 2015)


class PairFeatures:
    """Which characters follow each other in a text.

    For neighbours, and for characters with one between them, the positive pointwise mutual information in the training texts is
    factorised: PPMI(a, b) is about sum_i l_i(a) r_i(b), i = 1 .. RANK (Levy and Goldberg 2014). Features are the means over a
    text of l_i(a) r_i(b), and of l_i(a) of neighbours, in standard deviations of the training texts. The rank is low, so that
    pairs of unseen texts matter as much as those of training texts.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        frequent = [character for character, _ in Counter("".join(texts)).most_common(CHARACTERS)]
        self.alphabet = np.array(sorted(map(ord, frequent)), np.int64)
        codes, row = self._codes(texts)
        self.vectors = [self._factors(*pairs(codes, row, offset)[:2]) for offset in OFFSETS]
        self.scale = np.ones(1)
        self.scale = self(texts).double().numpy().std(axis=0)
        self.scale[self.scale == 0] = 1

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """Features float32 [N, 3 * RANK], fewer for tiny alphabets, on the CPU."""
        codes, row = self._codes(texts)
        found = [means(self.vectors[0][0][codes], row, len(texts))]
        for offset, (left, right) in zip(OFFSETS, self.vectors, strict=True):
            first, second, text = pairs(codes, row, offset)
            found.append(means(left[first] * right[second], text, len(texts)))
        return torch.from_numpy((np.concatenate(found, axis=1) / self.scale).astype(np.float32))

    def _codes(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """All characters as numbers, and the text of each, both [M]. Rare and unknown characters have the last number."""
        points = np.frombuffer("".join(texts).encode("utf-32-le"), "<u4").astype(np.int64)
        place = np.searchsorted(self.alphabet, points).clip(max=len(self.alphabet) - 1)
        codes = np.where(self.alphabet[place] == points, place, len(self.alphabet))
        return codes, np.repeat(np.arange(len(texts)), [len(text) for text in texts])

    def _factors(self, first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """l and r of these pairs, both [V + 1, RANK]."""
        size = len(self.alphabet) + 1
        together, count = np.unique(first * size + second, return_counts=True)
        a, b = together // size, together % size
        context = np.bincount(second, minlength=size) ** SMOOTHING
        information = np.log(count / np.bincount(first, minlength=size)[a] / (context / context.sum())[b]).clip(min=0)
        matrix = sparse.csr_matrix((information, (a, b)), shape=(size, size))
        left, weight, right = randomized_svd(matrix, RANK, random_state=0)
        return left * np.sqrt(weight), right.T * np.sqrt(weight)


def pairs(codes: np.ndarray, row: np.ndarray, offset: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First and second characters of all pairs at this offset within a text, and their text, each [P]."""
    within = row[:-offset] == row[offset:]
    return codes[:-offset][within], codes[offset:][within], row[offset:][within]


def means(values: np.ndarray, row: np.ndarray, count: int) -> np.ndarray:
    """Mean over each text of values [M, D]: [count, D]; 0 for texts without any."""
    of_text = sparse.csr_matrix((np.ones(len(row)), (row, np.arange(len(row)))), shape=(count, len(row)))
    return (of_text @ values) / np.maximum(np.bincount(row, minlength=count), 1)[:, None]


class TextDistance:
    """Distances of texts to the training texts, in features of theirs.

    features: texts to features [N, D], which are measured in standard deviations of the training texts; None for PairFeatures
    of the training texts, which are in this unit already.
    """

    def __init__(self, training: Sequence[str], features: Callable[[Sequence[str]], Tensor] | None = None) -> None:
        self.extract = PairFeatures(training) if features is None else features
        self.found = self.extract(training)
        self.scale = self.found.new_ones(1)
        if features is not None:
            self.scale = spread(self.found)
            self.found = self.found / self.scale
        self.training = statistics(self.found)

    def features(self, texts: Sequence[str]) -> Tensor:
        """Float32 [N, D], on the CPU."""
        return self.extract(texts) / self.scale

    def __call__(self, texts: Sequence[str]) -> float:
        """Fréchet distance, 0 and up; biased upwards for few texts: compare only values of the same number."""
        return frechet_distance(statistics(self.features(texts)), self.training)

    def mauve(self, texts: Sequence[str]) -> list[float]:
        """`divergences` of texts and of as many random training texts; of fewer texts, if there are fewer of these."""
        count = min(len(texts), len(self.found))
        rows = np.random.default_rng(0).permutation(len(self.found))[:count]
        return divergences(self.features(texts[:count]), self.found[rows])
