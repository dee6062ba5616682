import pytest
import torch
from torch.nn import functional as F

from src.metrics.classes import class_entropy, class_shares


def test_shares_and_their_entropy() -> None:
    logits = F.one_hot(torch.tensor([0, 0, 0, 1]), 4).float()
    assert class_shares(logits) == [0.75, 0.25, 0, 0]
    assert class_entropy([0.25] * 4) == pytest.approx(1)
    assert class_entropy([0.5, 0.5, 0, 0]) == pytest.approx(0.5)
    assert class_entropy([1, 0, 0, 0]) == 0
