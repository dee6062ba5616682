"""The metrics of image features: one set of samples against the reference of a protocol (src/evaluation/protocol.py)."""

from typing import Any

import torch
from torch import Tensor

from src.evaluation.cache import Arrays
from src.evaluation.extractors.extractor import Extractor, Features
from src.evaluation.extractors.points import mode_quality
from src.evaluation.metrics.classes import class_counts, class_entropy, class_shares, mode_coverage
from src.evaluation.metrics.distances import frechet_distance, inception_score, kernel_distance, standardise, statistics
from src.evaluation.metrics.neighbours import closeness, copies, manifolds

NEIGHBOURS = {"precision_recall": 3, "density_coverage": 5, "copies": 1}

# Metric -> number of images below which it says nothing. KID compares subsets of half of the images, and the features of fewer
# are partly constant; the inception score takes 10 splits; balls that reach to the k-th of few neighbours hold everything.
FEWEST = {
    **dict.fromkeys(("kid", "kid_std", "is", "is_std"), 100),
    **dict.fromkeys(("precision", "recall"), 10 * NEIGHBOURS["precision_recall"]),
    **dict.fromkeys(("density", "coverage"), 10 * NEIGHBOURS["density_coverage"]),
}
MANY_CLASSES = 100  # from this number on, a record counts the classes found instead of listing their shares


def left_out(count: int) -> str:
    """The metrics that `count` images are too few for, in words; empty if there are none."""
    few = {name: fewest for name, fewest in FEWEST.items() if count < fewest and not name.endswith("_std")}
    return ", ".join(f"{name} (needs {fewest})" for name, fewest in few.items())


def measure(found: Features, reference: Arrays, extractor: Extractor, seed: int) -> dict[str, Any]:
    """All metrics of a set of samples, computed from their features, by key."""
    samples, logits = found
    names = ("real", "manifold_radius", "radius", "train", "spacing", "held_out")
    real, manifold_radius, radius, train, spacing, held_out = (torch.from_numpy(reference[name]) for name in names)
    own, theirs = scaled(samples, real, extractor), scaled(real, real, extractor)
    kernel, kernel_std = kernel_distance(own, theirs, seed, within=reference["kernel_within"])
    k, density_k = NEIGHBOURS["precision_recall"], NEIGHBOURS["density_coverage"]
    covered = manifolds(samples, real, k, density_k, manifold_radius, radius)
    metrics: dict[str, Any] = {"fd": frechet_distance(statistics(samples), statistics(real))}
    if logits.shape[1] and not extractor.points:  # a point has one mode for certain: the score is nan, and `modes` covers it
        metrics["is"], metrics["is_std"] = inception_score(logits, seed)
    metrics |= {
        "kid": kernel,
        "kid_std": kernel_std,
        **covered._asdict(),
        "copies": copies(closeness(samples, train, spacing), held_out),
    }
    if extractor.points:
        metrics |= mode_quality(samples)
    elif extractor.classes >= MANY_CLASSES:
        metrics |= mode_coverage(class_counts(logits), torch.from_numpy(reference["class_counts"]))
    elif extractor.classes:
        shares = class_shares(logits)
        metrics |= {"class_shares": shares, "class_min_share": min(shares), "class_entropy": class_entropy(shares)}
    return {extractor.key(name): value for name, value in metrics.items()}


def scaled(features: Tensor, real: Tensor, extractor: Extractor) -> Tensor:
    """Features for the kernel distance, standardised if the extractor needs it."""
    return standardise(features, real) if extractor.standardise else features
