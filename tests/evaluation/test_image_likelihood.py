"""The likelihood of images: units, bounds and controls, against values found by hand."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from src.data.dataset import Arrays
from src.data.spec import Batch, Field, Spec
from src.evaluation.image_likelihood import baselines, to_levels
from src.evaluation.images import ImageSuite
from src.evaluation.likelihood import LikelihoodSuite
from src.models.model import Model


class TwoPixels:
    """Images of two pixels in black and white."""

    name = "two_pixels"
    spec = Spec({"x": Field("image", (1, 1, 2), "uint8", levels=2)})
    train = np.array([[0, 255], [255, 255], [0, 0], [0, 255]], np.uint8).reshape(4, 1, 1, 2)
    test = np.array([[0, 255], [255, 0]], np.uint8).reshape(2, 1, 1, 2)

    def prepare(self) -> None: ...

    def hashes(self) -> dict[str, str]:
        return {}

    def split(self, name: str) -> Arrays:
        return Arrays(x=self.train if name == "train" else self.test)


class Fair(Model):
    """Every pixel is white with probability 1/2."""

    def nll(self, batch: Batch) -> tuple[Tensor, Tensor]:
        assert set(batch["x"].flatten().tolist()) <= {-1.0, 1.0}
        x = batch["x"].flatten(1)
        return torch.full((len(x),), 2 * math.log(2)), torch.full((len(x),), 2)


class Bounded(Fair):
    """Knows a loose bound and a tight one."""

    bound = "by hand"

    def nll(self, batch: Batch) -> tuple[Tensor, Tensor]:
        nats, count = super().nll(batch)
        return nats + 1, count

    def tight_nll(self, batch: Batch) -> tuple[Tensor, Tensor]:
        return super().nll(batch)


def evaluate(model: Model, suite: Any = None) -> dict[str, Any]:
    return (suite or LikelihoodSuite()).evaluate(model, TwoPixels(), None, Path())


def test_units_and_controls() -> None:
    record = evaluate(Fair(TwoPixels.spec, 0))
    assert record["metrics"] == pytest.approx({"nats": 2 * math.log(2), "bits_per_dim": 1.0})
    assert record["controls"]["uniform"] == pytest.approx(record["metrics"])
    # Counts of white in 4 images: 1 and 3. p = (c + 1) / (4 + 2): of the images 01 and 10 16/36 and 4/36.
    assert record["controls"]["pixelwise"]["nats"] == pytest.approx(-(math.log(16 / 36) + math.log(4 / 36)) / 2)
    assert record["bounds"] == {}
    assert LikelihoodSuite().validate(Fair(TwoPixels.spec, 0), TwoPixels()) == pytest.approx(2 * math.log(2))


def test_the_tight_bound_is_reported_and_the_cheap_one_chooses() -> None:
    model = Bounded(TwoPixels.spec, 0)
    record = evaluate(model)
    assert record["metrics"]["bits_per_dim"] == pytest.approx(1.0)
    assert record["bounds"] == {"nats": "by hand", "bits_per_dim": "by hand"}
    assert LikelihoodSuite().validate(model, TwoPixels()) == pytest.approx(2 * math.log(2) + 1)


def test_levels() -> None:
    assert to_levels(np.array([0, 255], np.uint8), Field("image", (), "uint8", levels=2)).tolist() == [0, 1]
    assert to_levels(np.array([0, 7, 255], np.uint8), Field("image", (), "uint8")).tolist() == [0, 7, 255]


def test_counts_in_parts(monkeypatch: Any) -> None:
    whole = baselines(TwoPixels(), TwoPixels.test)
    monkeypatch.setattr("src.evaluation.image_likelihood.COUNTED", 1)
    for name, metrics in baselines(TwoPixels(), TwoPixels.test).items():
        assert metrics == pytest.approx(whole[name])


def test_beside_distances_it_is_measured_where_there_is_one() -> None:
    suite = ImageSuite()
    found = suite.measure_likelihood(Fair(TwoPixels.spec, 0), TwoPixels())
    assert found.metrics["bits_per_dim"] == pytest.approx(1.0)
    assert suite.measure_likelihood(Model(TwoPixels.spec, 0), TwoPixels()) is None
    assert ImageSuite(likelihood=0).measure_likelihood(Fair(TwoPixels.spec, 0), TwoPixels()) is None
