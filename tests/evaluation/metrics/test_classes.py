import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from src.evaluation.metrics.classes import (
    FEWEST,
    accuracy,
    class_counts,
    class_distances,
    class_entropy,
    class_shares,
    mode_coverage,
)


def one_hot(labels: list[int], classes: int) -> Tensor:
    return F.one_hot(torch.tensor(labels), classes).float()


def test_shares_and_their_entropy() -> None:
    logits = one_hot([0, 0, 0, 1], 4)
    assert class_shares(logits) == [0.75, 0.25, 0, 0]
    assert class_counts(logits).tolist() == [3, 1, 0, 0]
    assert class_entropy([0.25] * 4) == pytest.approx(1)
    assert class_entropy([0.5, 0.5, 0, 0]) == pytest.approx(0.5)
    assert class_entropy([1, 0, 0, 0]) == 0


def test_modes_and_their_divergence_by_hand() -> None:
    even = torch.tensor([10, 10, 10, 10])
    assert mode_coverage(even, even) == {"modes": 4, "kl": 0}
    assert mode_coverage(torch.tensor([5, 0, 0, 0]), even) == {"modes": 1, "kl": pytest.approx(math.log(4))}
    found = mode_coverage(torch.tensor([3, 1]), torch.tensor([1, 1]))
    assert found == {"modes": 2, "kl": pytest.approx(0.75 * math.log(1.5) + 0.25 * math.log(0.5))}
    # A class that the reference lacks counts once in it: 1/4 against 3/4.
    assert mode_coverage(torch.tensor([0, 5]), torch.tensor([3, 0])) == {"modes": 1, "kl": pytest.approx(math.log(4))}


def test_divergence_of_real_data_is_what_its_docstring_says() -> None:
    """26,000 samples of 1,000 equal classes on either side: 1000 / 52,000 twice."""
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.bincount(torch.randint(1000, (26_000,), generator=generator), minlength=1000) for _ in range(2))
    found = mode_coverage(a, b)
    assert found["modes"] == 1000
    assert found["kl"] == pytest.approx(2 * 1000 / 52_000, abs=0.005)


def test_accuracy() -> None:
    assert accuracy(one_hot([0, 1, 2, 2], 3), torch.tensor([0, 1, 1, 2])) == 0.75


def test_distances_of_classes() -> None:
    """Class c lies at (10 c, 0) with unit variance, its samples at distance c from it."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(3).repeat_interleave(4000)
    real = torch.randn(12_000, 2, generator=generator)
    samples = torch.randn(12_000, 2, generator=generator)
    real[:, 0] += 10 * labels
    samples[:, 0] += 10 * labels
    samples[:, 1] += labels
    order = torch.randperm(12_000, generator=generator)
    found = class_distances(samples, labels, real[order], labels[order], 3)
    assert found == pytest.approx([0, 1, 4], abs=0.2)
    swapped = class_distances(samples, (labels + 1) % 3, real[order], labels[order], 3)
    assert swapped is not None
    assert min(swapped) > 90, "confused classes show, though the set as a whole is the same"


def test_small_classes_have_no_distance() -> None:
    labels = torch.arange(2).repeat_interleave(FEWEST)
    features = torch.randn(2 * FEWEST, 2)
    assert class_distances(features, labels, features, labels, 2) is not None
    assert class_distances(features, labels, features, labels, 3) is None
    assert class_distances(features[1:], labels[1:], features, labels, 2) is None
    assert class_distances(features, labels, features[:-1], labels[:-1], 2) is None
