"""Against probabilities found by hand, and by the definition."""

from collections import Counter, defaultdict
from itertools import product

import numpy as np
import pytest

from src.evaluation.metrics.ngrams import DISCOUNT, NGrams
from src.evaluation.metrics.sequences import Sequences

END = 0
ROWS = ["aab", "ab", "abc", "abca", "b", "abcab", "cab"]


def tokens(rows: list[str], width: int = 6) -> Sequences:
    """a, b, c are 1, 2, 3; each row ends with END."""
    x = np.zeros((len(rows), width), np.int64)
    for row, text in zip(x, rows, strict=True):
        row[: len(text)] = ["_abc".index(character) for character in text]
    return Sequences(x, np.array([len(text) + 1 for text in rows]))


def test_a_bigram_model_by_hand() -> None:
    """ "ab" and "b": counts of the bigrams <a, ab, b$ are 1, 1, 2 and <b 1; n1 = 3, n2 = 1, D = 3/5."""
    model = NGrams(tokens(["ab", "b"], 3), 2, np.arange(4))
    bigram, unigram = model.orders[1], model.orders[0]
    assert bigram.discount == pytest.approx(3 / 5)
    # a comes after <, b after < and a, $ after b: continuation counts 1, 2, 1; n1 = 2, n2 = 1, D = 1/2.
    assert dict(zip(unigram.grams.tolist(), unigram.counts.tolist(), strict=True)) == {0: 1, 1: 1, 2: 2}
    assert unigram.discount == pytest.approx(1 / 2)
    low = {"b": (2 - 0.5) / 4 + 0.5 * 3 / 4 / 4, "c": 0.5 * 3 / 4 / 4}
    after_a = {"b": (1 - 0.6) / 1 + 0.6 * low["b"], "c": 0.6 * low["c"]}
    p = model.probabilities(tokens(["ab", "ac", "cb"], 3))
    assert p[0, 1] == pytest.approx(after_a["b"])
    assert p[1, 1] == pytest.approx(after_a["c"])
    assert p[2, 1] == pytest.approx(low["b"])  # nothing was seen after c


def by_definition(rows: list[str], n: int, history: str, symbol: str) -> float:
    """p(symbol | history), where "<" starts and "$" ends a row."""
    rows = [f"<{row}$" for row in rows]
    plain: list[Counter[str]] = [Counter() for _ in range(n + 1)]
    for k in range(1, n + 1):
        plain[k].update(row[i : i + k] for row in rows for i in range(len(row) - k + 1) if row[i : i + k] != "<")
    counts = list(plain)
    for k in range(n - 1, 0, -1):
        before = defaultdict(set)
        for gram in plain[k + 1]:
            before[gram[1:]].add(gram[0])
        counts[k] = Counter({gram: plain[k][gram] if gram[0] == "<" else len(before[gram]) for gram in plain[k]})

    def p(k: int, history: str) -> float:
        if k == 0:
            return 1 / 4
        found = {gram[-1]: count for gram, count in counts[k].items() if gram[:-1] == history}
        lower = p(k - 1, history[1:])
        if not found:
            return lower
        once, twice = (list(counts[k].values()).count(number) for number in (1, 2))
        discount = once / (once + 2 * twice) if once and twice else DISCOUNT
        kept = max(found.get(symbol, 0) - discount, 0)
        return (kept + discount * len(found) * lower) / sum(found.values())

    history = f"<{history}"[-(n - 1) :] if n > 1 else ""
    return p(len(history) + 1, history)


@pytest.mark.parametrize("n", [1, 2, 4])
def test_the_definition_and_a_sum_of_one(n: int) -> None:
    model = NGrams(tokens(ROWS), n, np.arange(4))
    for history in ["", "a", "ab", "ca", "cc", "abca", "bbb"]:
        p = model.probabilities(tokens([history + symbol for symbol in "abc"] + [history]))[:, len(history)]
        assert p.sum() == pytest.approx(1)
        assert p.tolist() == pytest.approx([by_definition(ROWS, n, history, symbol) for symbol in "abc$"])


@pytest.mark.parametrize("n", [1, 2, 4])
def test_samples_have_the_models_probabilities(n: int) -> None:
    model, number = NGrams(tokens(ROWS), n, np.arange(4)), 20_000
    drawn = model.sample(number, 2, END, seed=1)
    for first, second in product(range(4), repeat=2):
        if first != END:
            pair = Sequences(np.array([[first, second]]), np.array([2]))
            expected = model.probabilities(pair).prod()
            share = ((drawn == [first, second]).all(axis=1)).mean()
            assert abs(share - expected) < 4 * np.sqrt(expected / number) + 1e-9
    assert (model.sample(100, 6, END, seed=1) == model.sample(100, 6, END, seed=1)).all()
