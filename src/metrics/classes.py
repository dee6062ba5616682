"""Which classes were generated, by a classifier: a generator that has dropped a digit shows here first."""

import math

import torch
from torch import Tensor


def class_shares(logits: Tensor) -> list[float]:
    """Share of the samples [N, K] that the classifier gives to each class; they sum to 1."""
    counts = torch.bincount(logits.argmax(dim=1), minlength=logits.shape[1])
    return (counts.double() / len(logits)).tolist()


def class_entropy(shares: list[float]) -> float:
    """Entropy of the class shares over that of equal shares: 1 for all classes alike, 0 for one class only."""
    return sum(-share * math.log(share) for share in shares if share > 0) / math.log(len(shares))
