"""How the report says things: numbers, the names of metrics, verdicts."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from src.reporting.tables import Comparison, Group, Summary


class Metric(NamedTuple):
    prefix: str  # of its key, which ends in the extractor's name
    header: str
    meaning: str


# The columns, in their order. Other numbers of a record (standard deviations over subsets, D's outputs) stay in the JSON.
METRICS = (
    Metric("fd", "FD ↓", "Fréchet distance between the features of generated and real images; lower is better"),
    Metric("fid", "FID ↓", "Fréchet inception distance; lower is better"),
    Metric("kid", "KD ↓", "kernel distance: unbiased squared maximum mean discrepancy of features; lower is better"),
    Metric("is", "IS ↑", "inception score: sure and varied classes; higher is better, and blind within a class"),
    Metric("precision", "precision ↑", "share of generated images inside the manifold of real ones (3 neighbours)"),
    Metric("recall", "recall ↑", "share of real images inside the manifold of generated ones (3 neighbours)"),
    Metric("density", "density ↑", "how many real neighbourhoods hold a generated image, 1 for real data (5 neighbours)"),
    Metric("coverage", "coverage ↑", "share of real images with a generated one in their neighbourhood (5 neighbours)"),
    Metric("copies", "copies", "share of images suspiciously close to a training image; 0.05 for unseen real ones"),
    Metric("class_min_share", "rarest class", "share of the class that is drawn least; 0 means that one is never drawn"),
    Metric("modes", "modes ↑", "how many of the classes, or of the data's modes, are found at least once"),
    Metric("kl", "KL ↓", "Kullback-Leibler divergence of the generated classes from the real ones, in nats; lower is better"),
    Metric("high_quality", "high quality ↑", "share of points within 3 standard deviations of a mode; 0.989 for real ones"),
    Metric("accuracy", "accuracy ↑", "share of samples in which a classifier sees the class that was asked for"),
    Metric("fd_class_mean", "class FD ↓", "mean Fréchet distance of samples of a class to real images of it; lower is better"),
)


def columns(metrics: Mapping[str, Any], extractor: str) -> list[tuple[str, Metric]]:
    """(key, metric) of what a record measured, in the order of the table. The Fréchet distance comes first."""
    keys = [(key, metric) for metric in METRICS for key in (metric.prefix, f"{metric.prefix}_{extractor}")]
    return [(key, metric) for key, metric in keys if key in metrics]


def number(value: float) -> str:
    """Four significant digits, four decimals at most."""
    if not value:
        return "0"
    return f"{value:.{min(4, max(0, 3 - math.floor(math.log10(abs(value)))))}f}"


def rounded(value: float, half_width: float) -> str:
    """As many decimals as leave two significant digits to the half-width, four at most."""
    if not half_width:
        return number(value)
    return f"{value:.{min(4, max(0, 1 - math.floor(math.log10(half_width))))}f}"


def mean(summary: Summary | None) -> tuple[str, str]:
    """A mean, and the half-width of its interval with its sign; empty where there is none."""
    if summary is None:
        return "-", ""
    if summary.interval is None:
        return number(summary.mean), ""
    half = summary.interval.high - summary.mean
    return rounded(summary.mean, half), f"± {rounded(half, half)}"


def count(group: Group) -> str:
    finished, started = len(group.finished), len(group.runs)
    words = f"{finished} of {started}"
    return f"{words} (one seed)" if finished == 1 else words


def losses(group: Group) -> list[tuple[str, str]]:
    """(what became of them, which) of the seeds that gave no number."""
    found = [(state, group.seeds(state)) for state in ("diverged", "unfinished")]
    return [(state, f"seed{'' if len(seeds) == 1 else 's'} {', '.join(map(str, seeds))}") for state, seeds in found if seeds]


def p_words(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def reasons(comparison: Comparison, metric: str) -> str:
    """What a verdict rests on, in one sentence without its full stop."""
    seeds = f"{len(comparison.seeds)} common seed{'' if len(comparison.seeds) == 1 else 's'}"
    if comparison.difference is None:
        return f"no common seed with {comparison.baseline}"
    difference, interval = comparison.difference, comparison.interval
    half = interval.high - difference if interval else 0.0
    size = rounded(abs(difference), half)
    words = f"{metric} is {size} {'lower' if difference < 0 else 'higher'} than that of {comparison.baseline}"
    if interval:
        words += f" (95 % interval of the difference {rounded(interval.low, half)} to {rounded(interval.high, half)})"
    words += f", {seeds}"
    if comparison.p is not None:
        words += f", Holm-adjusted {p_words(comparison.p)}"
    if comparison.lost:
        words += (
            f"; {comparison.lost} run{'' if comparison.lost == 1 else 's'} of the two did not finish and cannot be compared"
        )
    return words
