"""Default classes, and classes that are dropped."""

import torch

from src.models.conditions import conditions_of, drop


def test_classes_go_round() -> None:
    assert conditions_of([0, 1, 2, 3, 1_000_000], 3)["y"].tolist() == [0, 1, 2, 0, 1]
    assert conditions_of([1], 0) == {}


def test_each_class_is_dropped_by_its_own_number() -> None:
    y, uniform = torch.tensor([0, 1, 2, 1]), torch.tensor([0.0, 0.3, 0.1, 0.09])
    assert drop(y, null=3, share=0.1, uniform=uniform).tolist() == [3, 1, 2, 3]
    assert torch.equal(drop(y, 3, 0.0, uniform), y)
    assert drop(y, 3, 1.0, uniform).tolist() == [3] * 4


def test_the_share_is_what_was_asked_for() -> None:
    uniform = torch.rand(10_000, generator=torch.Generator().manual_seed(0))
    dropped = drop(torch.zeros(10_000, dtype=torch.int64), 1, 0.1, uniform)
    assert abs(dropped.float().mean() - 0.1) < 0.01
