"""n-gram models with interpolated Kneser-Ney smoothing: the baselines of sequence models.

Kneser and Ney 1995; the interpolated form of Chen and Goodman 1998, section 2.8, with one discount per order.
"""

from typing import NamedTuple

import numpy as np

from src.evaluation.metrics.sequences import Sequences

DISCOUNT = 0.75  # where the counts of an order do not determine one


class Order(NamedTuple):
    """The n-grams of one order, sorted, and what follows from them for each of their histories.

    grams: n-grams as numbers, int64 [G]. counts: of each; below the highest order, the number of different symbols that come
    before it. histories: their first n - 1 symbols as numbers, each once, [H]. first: the place of a history's first n-gram,
    [H + 1]. discount: taken from each count, 0 < D < 1. mass: cumulative sum of the discounted counts, [G + 1].
    """

    grams: np.ndarray
    counts: np.ndarray
    histories: np.ndarray
    first: np.ndarray
    discount: float
    mass: np.ndarray

    def find(self, histories: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """(whether a history occurs, its first n-gram, the end of its n-grams, their total count), each [M]."""
        place = np.searchsorted(self.histories, histories).clip(max=len(self.histories) - 1)
        begin, end = self.first[place], self.first[place + 1]
        total = self.mass[end] - self.mass[begin] + self.discount * (end - begin)
        return self.histories[place] == histories, begin, end, total


class NGrams:
    """p(symbol | the n - 1 symbols before it), fitted to samples.

    p_k(w | h) = (c(h w) - D) / c(h) + D t(h) / c(h) p_{k-1}(w | h without its first symbol), where t(h) counts the different
    symbols seen after h; p_0 is uniform over `symbols`. D = n1 / (n1 + 2 n2), for n1 n-grams of count 1 and n2 of count 2.
    Below order n, c counts the different symbols before an n-gram. A start symbol comes before each sample; n-grams that begin
    with it have their plain count. The first symbols of a sample have shorter histories.

    seen: the samples. symbols: the numbers of the symbols that may occur, [V].
    """

    def __init__(self, seen: Sequences, n: int, symbols: np.ndarray) -> None:
        self.n, self.symbols = n, symbols
        self.start = int(symbols.max()) + 1
        self.base = self.start + 1
        assert n >= 1, n
        assert self.base**n < 2**62, "too many symbols for n-grams of this order"
        plain = [np.unique(grams, return_counts=True) for grams in self._grams(seen)]
        counted = [plain[-1]]
        for k in range(n - 1, 0, -1):
            grams, counts = plain[k - 1]
            begins = grams // self.base ** (k - 1) == self.start
            different = np.unique(counted[0][0] % self.base**k, return_counts=True)
            grams = np.concatenate([grams[begins], different[0]])
            counts = np.concatenate([counts[begins], different[1]])
            order = np.argsort(grams)
            counted.insert(0, (grams[order], counts[order]))
        self.orders = [self._order(grams, counts) for grams, counts in counted]

    def _grams(self, samples: Sequences) -> list[np.ndarray]:
        """All k-grams of samples as numbers, for k = 1 .. n; none consists of the start symbol alone."""
        x = np.pad(samples.x, ((0, 0), (1, 0)), constant_values=self.start)
        counted = np.pad(samples.counted, ((0, 0), (1, 0)), constant_values=True)
        found = [x[:, 1:][counted[:, 1:]]]
        window = x
        for k in range(2, self.n + 1):
            window = window[:, :-1] * self.base + x[:, k - 1 :]
            found.append(window[counted[:, k - 1 :]])
        return found

    def _order(self, grams: np.ndarray, counts: np.ndarray) -> Order:
        histories, first = np.unique(grams // self.base, return_index=True)
        once, twice = (counts == 1).sum(), (counts == 2).sum()
        discount = float(once / (once + 2 * twice)) if once and twice else DISCOUNT
        mass = np.concatenate([[0.0], np.cumsum(counts - discount)])
        return Order(grams, counts, histories, np.append(first, len(grams)), discount, mass)

    def probabilities(self, samples: Sequences) -> np.ndarray:
        """p of each symbol of samples given those before it, [N, T]; meaningless where a symbol does not count."""
        x = np.pad(samples.x, ((0, 0), (1, 0)), constant_values=self.start)
        p = np.full(samples.x.shape, 1 / len(self.symbols))
        history = np.zeros(samples.x.shape, np.int64)  # the k - 1 symbols before each, as a number
        width = samples.x.shape[1]
        for k, order in enumerate(self.orders, 1):
            if k > 1:
                history = np.where(np.arange(width) >= k - 2, history + self.base ** (k - 2) * _before(x, k - 1, width), -1)
            known, begin, end, total = order.find(history)
            gram = history * self.base + samples.x
            place = np.searchsorted(order.grams, gram).clip(max=len(order.grams) - 1)
            kept = np.where(order.grams[place] == gram, order.counts[place] - order.discount, 0)
            p = np.where(known, (kept + order.discount * (end - begin) * p) / total, p)
        return p

    def nats(self, samples: Sequences) -> np.ndarray:
        """-log p of each symbol of samples, [N, T]."""
        return -np.log(self.probabilities(samples))

    def sample(self, n: int, length: int, end: int | None, seed: int) -> np.ndarray:
        """n samples [n, length]; symbols after `end` mean nothing.

        The smoothed distribution is a mixture: of the discounted n-grams and, with weight D t(h) / c(h), of the lower order.
        """
        random = np.random.default_rng(seed)
        x = np.full((n, length + 1), self.start, np.int64)
        ended = np.zeros(n, bool)
        for t in range(1, length + 1):
            chosen = self.symbols[random.integers(len(self.symbols), size=n)]
            waiting = ~ended
            for k in range(min(self.n, t + 1), 0, -1):
                order, history = self.orders[k - 1], np.zeros(n, np.int64)
                for symbol in range(t - k + 1, t):
                    history = history * self.base + x[:, symbol]
                known, begin, finish, total = order.find(history)
                backs_off = random.random(n) * total < order.discount * (finish - begin)
                low, high = order.mass[begin], order.mass[finish]
                place = np.searchsorted(order.mass, low + random.random(n) * (high - low), side="right") - 1
                here = waiting & known & ~backs_off
                chosen = np.where(here, order.grams[place.clip(begin, finish - 1)] % self.base, chosen)
                waiting &= ~here
            x[:, t] = np.where(ended, x[:, t - 1], chosen)
            ended |= x[:, t] == end
        return x[:, 1:]


def _before(x: np.ndarray, distance: int, width: int) -> np.ndarray:
    """The symbol `distance` places before each of the last `width` of x [N, 1 + T]; 0 where there is none."""
    return np.pad(x[:, : x.shape[1] - distance], ((0, 0), (distance - 1, 0)))[:, :width]
