"""Classes of generated samples, by a classifier: the first metrics to show that a generator dropped a digit."""

import math

import torch
from torch import Tensor

from src.evaluation.metrics.distances import frechet_distance, statistics

FEWEST = 200  # samples of a class that a Frechet distance needs


def class_shares(logits: Tensor) -> list[float]:
    """Share of samples in each class by the logits [N, K] of a classifier; the shares sum to 1."""
    return (class_counts(logits).double() / len(logits)).tolist()


def class_counts(logits: Tensor) -> Tensor:
    """Number of samples in each class by the logits [N, K] of a classifier, int64 [K]."""
    return torch.bincount(logits.argmax(dim=1), minlength=logits.shape[1])


def class_entropy(shares: list[float]) -> float:
    """Entropy of the class shares, divided by that of equal shares: 1 for equal shares, 0 for a single class."""
    return sum(-share * math.log(share) for share in shares if share > 0) / math.log(len(shares))


def mode_coverage(counts: Tensor, reference: Tensor) -> dict[str, float]:
    """`modes`, the number of classes with at least one sample, and `kl`, KL(samples || reference) of the classes in nats.

    counts, reference: samples per class, [K]. The protocol of Metz et al. 2016 (arXiv:1611.02163, section 3.3.1) and of
    PacGAN (Lin et al. 2018), who take 26,000 samples of 1,000 classes. For real data `kl` is not 0 but about
    K / 2N + K / 2M, for N samples and M of the reference. A class that is missing in the reference counts as one sample.
    """
    p, q = counts.double() / counts.sum(), reference.clamp(min=1).double()
    q = q / q.sum()
    return {"modes": int((counts > 0).sum()), "kl": torch.special.xlogy(p, p / q).sum().item()}


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """Share of samples whose class by the logits [N, K] of a classifier is the requested one, labels [N]."""
    return (logits.argmax(dim=1) == labels).double().mean().item()


def class_distances(features: Tensor, labels: Tensor, real: Tensor, real_labels: Tensor, classes: int) -> list[float] | None:
    """Frechet distance of each class's samples [N, D] to its real ones [M, D]; None if a class has fewer than FEWEST.

    A conditional generator can match the data as a whole and still confuse the classes (Benny et al. 2021). Values are higher
    than those of the whole set, which has more samples: compare them only with each other.
    """
    fewest = min(torch.bincount(y, minlength=classes).min().item() for y in (labels, real_labels))
    if fewest < FEWEST:
        return None
    return [frechet_distance(statistics(features[labels == c]), statistics(real[real_labels == c])) for c in range(classes)]
