"""Copies found by a suffix array against those of a plain search."""

import numpy as np
import pytest

from src.evaluation.metrics import sequences
from src.evaluation.metrics.sequences import Sequences, longest_copies


def brute(sample: np.ndarray, source: np.ndarray) -> int:
    runs = {tuple(row[i:j]) for row in source for i in range(len(row)) for j in range(i + 1, len(row) + 1)}
    return max([j - i for i in range(len(sample)) for j in range(i + 1, len(sample) + 1) if tuple(sample[i:j]) in runs] + [0])


@pytest.mark.parametrize(("symbols", "length"), [(2, 9), (3, 1), (4, 16), (30, 10)])
@pytest.mark.parametrize("block", [30, 10**6])
def test_longest_copies_are_those_of_a_search(symbols: int, length: int, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequences, "COPY_BLOCK", block)
    stream = np.random.RandomState(0)
    source, samples = stream.randint(symbols, size=(7, length)), stream.randint(symbols, size=(20, length))
    ends, short = stream.randint(length + 1, size=7), stream.randint(length + 1, size=20)
    samples[0], short[0] = source[3], ends[3]
    found = longest_copies(Sequences(samples, short), Sequences(source, ends))
    rows = [row[:end] for row, end in zip(source, ends, strict=True)]
    assert found.tolist() == [brute(row[:end], rows) for row, end in zip(samples, short, strict=True)]
