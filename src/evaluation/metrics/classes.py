"""Which classes were generated, by a classifier: a generator that has dropped a digit shows here first."""

import math

import torch
from torch import Tensor

from src.evaluation.metrics.distances import frechet_distance, statistics

FEWEST = 200  # samples of a class that a Frechet distance is taken of


def class_shares(logits: Tensor) -> list[float]:
    """Share of the samples [N, K] that the classifier gives to each class; they sum to 1."""
    return (class_counts(logits).double() / len(logits)).tolist()


def class_counts(logits: Tensor) -> Tensor:
    """How many of the samples [N, K] the classifier gives to each class: int64 [K]."""
    return torch.bincount(logits.argmax(dim=1), minlength=logits.shape[1])


def class_entropy(shares: list[float]) -> float:
    """Entropy of the class shares over that of equal shares: 1 for all classes alike, 0 for one class only."""
    return sum(-share * math.log(share) for share in shares if share > 0) / math.log(len(shares))


def mode_coverage(counts: Tensor, reference: Tensor) -> dict[str, float]:
    """`modes`, the number of classes with at least one sample, and `kl`, KL(samples || reference) of the classes in nats.

    counts, reference: samples of each class, [K]. The protocol of Metz et al. 2016 (arXiv:1611.02163, section 3.3.1) and of
    PacGAN (Lin et al. 2018), who take 26,000 samples of 1,000 classes. Real data is not at 0 from other real data: about
    K / 2N + K / 2M for N samples and M of the reference. A class that the reference lacks counts as seen once in it.
    """
    p, q = counts.double() / counts.sum(), reference.clamp(min=1).double()
    q = q / q.sum()
    return {"modes": int((counts > 0).sum()), "kl": torch.special.xlogy(p, p / q).sum().item()}


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """Share of the samples [N, K] in which the classifier sees the class that was asked for, [N]."""
    return (logits.argmax(dim=1) == labels).double().mean().item()


def class_distances(features: Tensor, labels: Tensor, real: Tensor, real_labels: Tensor, classes: int) -> list[float] | None:
    """The Frechet distance of each class: of its samples [N, D] to real ones [M, D]; None where a class has too few of either.

    A conditional generator can be near the data as a whole and confuse its classes (Benny et al. 2021). Values
    are higher than those of the whole set, which has more samples: compare them with each other.
    """
    fewest = min(torch.bincount(y, minlength=classes).min().item() for y in (labels, real_labels))
    if fewest < FEWEST:
        return None
    return [frechet_distance(statistics(features[labels == c]), statistics(real[real_labels == c])) for c in range(classes)]
