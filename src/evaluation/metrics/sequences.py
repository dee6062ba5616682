"""Sequences of symbols, and the longest runs that one set of them has copied from another."""

from collections.abc import Mapping
from typing import NamedTuple, Self

import numpy as np

COPY_BLOCK = 2_000_000  # symbols of the source that are searched at a time, to limit memory


class Sequences(NamedTuple):
    """Samples: x [N, T]; only the first `length` [N] symbols of each sample count."""

    x: np.ndarray
    length: np.ndarray

    @classmethod
    def of(cls, batch: Mapping[str, np.ndarray]) -> Self:
        x = batch["x"]
        return cls(x, batch.get("length", np.full(len(x), x.shape[1])))

    @property
    def counted(self) -> np.ndarray:
        """Which symbols count, [N, T]."""
        return np.arange(self.x.shape[1]) < self.length[:, None]

    @property
    def symbols(self) -> np.ndarray:
        """All symbols that count, concatenated, [M]."""
        return self.x[self.counted]

    @property
    def before(self) -> np.ndarray:
        """The symbol before each of `symbols`, [M]: 0 at the start of a sample, else 1 + the symbol."""
        return np.pad(self.x[:, :-1] + 1, ((0, 0), (1, 0)))[self.counted]

    def with_ends(self, end: int) -> np.ndarray:
        """All symbols plus 2, [N (T + 1)]; `end` follows each sample and replaces symbols that do not count."""
        return np.pad(np.where(self.counted, self.x + 2, end), ((0, 0), (0, 1)), constant_values=end).ravel()


def longest_copies(samples: Sequences, source: Sequences) -> np.ndarray:
    """The length of each sample's longest run that also occurs within one row of the source, [N]."""
    size = max(1, COPY_BLOCK // (source.x.shape[1] + 1))
    parts = [Sequences(source.x[i : i + size], source.length[i : i + size]) for i in range(0, len(source.x), size)]
    return np.max([_longest_copies(samples, part) for part in parts], axis=0)


def _longest_copies(samples: Sequences, source: Sequences) -> np.ndarray:
    """Uses a suffix array: all positions, sorted by the T symbols from there on.

    The longest match of a sample's position is with the source position just before or after it in this order. Ranks by
    1, 2, 4 ... symbols sort the positions (Manber and Myers 1993).
    """
    # Rows of the source end with 0, rows of the samples with 1: no match goes beyond the end of a row.
    text = np.concatenate([source.with_ends(0), samples.with_ends(1)])
    first, length = source.x.size + len(source.x), samples.x.shape[1]
    rank, known = text, 1
    while known < length:  # symbols that the ranks compare
        following = np.concatenate([rank[known:], np.zeros(known, np.int64)])
        rank = np.unique(rank * (rank.max() + 1) + following, return_inverse=True)[1]
        known *= 2
    order = np.argsort(rank[:first], kind="stable")
    above = np.searchsorted(rank[:first][order], rank[first:])
    runs = np.lib.stride_tricks.sliding_window_view(np.append(text, np.ones(length, np.int64)), length)
    longest = np.zeros(len(samples.x), np.int64)
    for row, places in enumerate(above.reshape(len(samples.x), -1)):
        own = runs[first + row * (length + 1) :][: length + 1]  # [T + 1, T]
        for neighbour in (places - 1, places):
            equal = own == runs[order[neighbour.clip(0, first - 1)]]
            longest[row] = max(longest[row], np.logical_and.accumulate(equal, axis=1).sum(axis=1).max())
    return longest
