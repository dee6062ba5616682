"""Two sets of samples that do not belong together, as one split: two index streams."""

from functools import cache

import numpy as np

from src.data.rows import indexed

ROUNDS = 64  # a round has every sample of the larger set once


class Unpaired:
    """A split of `x` and `source` whose rows are not pairs.

    x, source: arrays of any lengths A and B, [A, *shape] and [B, *shape]; M is the larger length.

    The split has 64 M indices. Index k = r M + i is row i % A of `x`, and row p(i) % B of `source`, where p is the random
    permutation of 0 .. M - 1 of round r: in each round both sets come in full, in other combinations.
    """

    def __init__(self, x: np.ndarray, source: np.ndarray) -> None:
        self.x, self.source = x, source
        self.longest = max(len(x), len(source))
        self._rows = {"x": indexed(x), "source": indexed(source)}
        self._order = cache(self._permutation)

    def __len__(self) -> int:
        return ROUNDS * self.longest

    def batch(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        """See Split."""
        rounds, i = np.divmod(indices, self.longest)
        sources = np.empty_like(indices)
        for number in np.unique(rounds):
            inside = rounds == number
            sources[inside] = self._order(int(number))[i[inside]]
        return {"x": self._rows["x"][i % len(self.x)], "source": self._rows["source"][sources % len(self.source)]}

    def _permutation(self, number: int) -> np.ndarray:
        return np.random.default_rng(number).permutation(self.longest).astype(np.int32)
