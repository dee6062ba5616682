"""The columns that a table of image metrics shows, and the names of its controls."""

from collections.abc import Collection
from typing import Any, NamedTuple


class Metric(NamedTuple):
    name: str  # its key in a record ends in the extractor's name
    header: str
    better: str | None  # "lower", "higher", or None where neither end is good by itself
    meaning: str
    page_only: bool = False  # README's tables have no room for it


METRICS = (
    Metric("fd", "FD ↓", "lower", "Fréchet distance between the features of generated and real images; lower is better"),
    Metric("fid", "FID ↓", "lower", "Fréchet inception distance; lower is better"),
    Metric(
        "kid",
        "KD ↓",
        "lower",
        "kernel distance: unbiased squared maximum mean discrepancy of features; lower is better",
    ),
    Metric(
        "is", "IS ↑", "higher", "inception score: sure and varied classes; higher is better, and blind within a class", True
    ),
    Metric("precision", "precision ↑", "higher", "share of generated images inside the manifold of real ones (3 neighbours)"),
    Metric("recall", "recall ↑", "higher", "share of real images inside the manifold of generated ones (3 neighbours)"),
    Metric(
        "density",
        "density ↑",
        "higher",
        "how many real neighbourhoods hold a generated image, 1 for real data (5 neighbours)",
        page_only=True,
    ),
    Metric(
        "coverage", "coverage ↑", "higher", "share of real images with a generated one in their neighbourhood (5 neighbours)"
    ),
    Metric("copies", "copies", None, "share of images suspiciously close to a training image; 0.05 for unseen real ones"),
    Metric("class_min_share", "rarest class", None, "share of the class that is drawn least; 0 means that one is never drawn"),
    Metric("modes", "modes ↑", "higher", "how many of the classes, or of the data's modes, are found at least once"),
    Metric(
        "kl",
        "KL ↓",
        "lower",
        "Kullback-Leibler divergence of the generated classes from the real ones, in nats; lower is better",
    ),
    Metric(
        "high_quality",
        "high quality ↑",
        "higher",
        "share of points within 3 standard deviations of a mode; 0.989 for real ones",
    ),
    Metric("accuracy", "accuracy ↑", "higher", "share of samples in which a classifier sees the class that was asked for"),
    Metric(
        "fd_class_mean",
        "class FD ↓",
        "lower",
        "mean Fréchet distance of samples of a class to real images of it; lower is better",
    ),
)

# The first is the floor: `times the floor` is a recipe's distance divided by its distance.
CONTROL_NAMES = {"real": "real images (floor)", "noise": "noise (ceiling)", "training_copies": "training copies"}


def columns(measured: Collection[str], extractor: str) -> list[dict[str, Any]]:
    """The columns of a record with these keys, in the order of the table; the main metric comes first."""
    return [
        {"key": key, "header": metric.header, "meaning": metric.meaning, "better": metric.better}
        | ({"page_only": True} if metric.page_only else {})
        for metric in METRICS
        for key in (metric.name, f"{metric.name}_{extractor}")
        if key in measured
    ]
