"""The likelihood of unseen images, with pixel-wise models as controls.

A sum over all scored images divided by their number, or by their number of dimensions: C * H * W each.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from src.data.dataset import Dataset
from src.data.spec import Field
from src.evaluation.scoring import bound_of, score
from src.evaluation.suite import Column
from src.parallel.collectives import from_first

COUNTED = 2_000  # images counted at a time, to limit memory

COLUMNS = [
    Column("nats", "nats / image", "negative log-likelihood of an unseen image; lower is better"),
    Column("bits_per_dim", "bits / dim", "negative log-likelihood in bits per pixel and channel; lower is better"),
]
CONTROL_NAMES = {"pixelwise": "independent pixels (baseline)", "uniform": "uniform over the levels"}


class Measured(NamedTuple):
    """The parts of a record that are about likelihood."""

    metrics: dict[str, float]
    controls: dict[str, dict[str, float]]
    bounds: dict[str, str]  # key of a metric -> what kind of bound it is; empty if it is exact


def in_units(nats: float, dimensions: int) -> dict[str, float]:
    """Nats per image in the units of COLUMNS."""
    return {"nats": nats, "bits_per_dim": nats / dimensions / math.log(2)}


def measure(model: Any, dataset: Dataset, split: str, rows: np.ndarray) -> Measured:
    """The likelihood of these rows of a split. Each rank scores a part of them; the controls are right on rank 0 only."""
    field, scored = dataset.spec.x, dataset.split(split)
    nats, dimensions = score(model, dataset.spec, scored, rows, final=True)
    size = math.prod(field.shape)
    assert dimensions == size * len(rows), "every image has C * H * W dimensions"
    metrics = in_units(nats * size, size)
    controls = from_first(lambda: baselines(dataset, scored.batch(rows)["x"]))
    bound = bound_of(model)
    return Measured(metrics, controls, dict.fromkeys(metrics, bound) if bound else {})


def to_levels(x: np.ndarray, field: Field) -> np.ndarray:
    """Pixels uint8 to the number of their level, 0 .. levels - 1, int64 of the same shape."""
    return x.astype(np.int64) * (field.levels - 1) // 255


def baselines(dataset: Dataset, scored: np.ndarray) -> dict[str, dict[str, float]]:
    """Likelihood of the scored images [N, C, H, W] under models without dependence between pixels.

    pixelwise: p(v) = (c(v) + 1) / (M + levels) at each position, for its counts c(v) in M training images.
    """
    field, train = dataset.spec.x, dataset.split("train")
    size, levels = math.prod(field.shape), field.levels
    positions = np.arange(size) * levels  # [D]
    counts = np.zeros(size * levels, np.int64)
    for start in range(0, len(train), COUNTED):
        x = train.batch(np.arange(start, min(start + COUNTED, len(train))))["x"]
        counts += np.bincount((positions + to_levels(x, field).reshape(len(x), size)).ravel(), minlength=size * levels)
    nats = np.log(len(train) + levels) - np.log(counts + 1)  # [D * levels]
    pixelwise = 0.0
    for start in range(0, len(scored), COUNTED):
        seen = to_levels(scored[start : start + COUNTED], field).reshape(-1, size)
        pixelwise += float(nats[positions + seen].sum())
    return {
        "pixelwise": in_units(pixelwise / len(scored), size),
        "uniform": in_units(size * math.log(levels), size),
    }
