"""What all models share: blocks of batches, the clock, one loss with one optimizer."""

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from src.config.errors import Diverged
from src.data.spec import Batch, Field, Spec
from src.models.capabilities import Likelihood, Samples
from src.models.model import Model, OneLoss
from src.training.ema import EMA

SPEC = Spec({"x": Field("image", (1, 1, 2), "uint8"), "y": Field("class", (), "int64", ("a", "b"))})


class Noting(Model):
    batches_per_update = 2

    def __init__(self) -> None:
        super().__init__(SPEC, seed=0)
        self.seen: list[list[Batch]] = []

    def update(self, batches: Any, *optimizers: Any) -> None:
        self.seen.append(list(batches))
        self.count(batches)


def test_a_block_is_batches_for_one_update_or_more() -> None:
    """As the model sees them: bytes as numbers from -1 to 1."""
    model = Noting()
    x = torch.tensor([0, 255], dtype=torch.uint8).expand(4, 3, 1, 1, 2)  # 4 batches of 3
    y = torch.arange(12).view(4, 3)
    model.train_on({"x": x, "y": y}, [])
    assert [[batch["y"].tolist() for batch in update] for update in model.seen] == [
        [[0, 1, 2], [3, 4, 5]],
        [[6, 7, 8], [9, 10, 11]],
    ]
    assert all(batch["x"].tolist() == [[[[-1.0, 1.0]]]] * 3 for update in model.seen for batch in update)
    assert model.clock() == {"step": 2, "samples_seen": 12}


def test_the_clock_is_in_the_checkpoint() -> None:
    model, other, checkpoint = Noting(), Noting(), {}
    model.set_clock({"step": 5, "samples_seen": 80})
    model.on_save_checkpoint(checkpoint)
    other.on_load_checkpoint(checkpoint)
    assert other.clock() == {"step": 5, "samples_seen": 80}


class Mean(OneLoss):
    """Goes to the mean of x."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(Spec.of("points", (1,)), 0, partial(torch.optim.SGD, lr=0.25), **settings)
        network = nn.Linear(1, 1, bias=False)
        nn.init.zeros_(network.weight)
        self.set_network(network)

    def loss(self, batch: Batch) -> Tensor:
        return (batch["x"] - self.learner.weight).square().mean(1)

    def sample(self, seeds: Any, cond: Any = None, weights: str = "ema") -> Tensor:
        return self.network(weights).weight.expand(len(seeds), 1)

    def conditions(self, seeds: Any) -> Batch:
        return {}


def train(model: OneLoss, *values: float) -> list[float]:
    """The weight after each update, with batches of two samples of one value."""
    optimizers, weights = model.configure_optimizers(), []
    for value in values:
        model.train_on({"x": torch.full((1, 2, 1), value)}, optimizers)
        weights.append(model.learner.weight.item())
    return weights


def test_one_loss_by_hand() -> None:
    """w - 0.25 * 2 (w - x): half of the way each time."""
    model = Mean(ema=partial(EMA, half_life=2, ramp_up=1.0))
    assert train(model, 4.0, 4.0) == [2.0, 3.0]
    assert model.scalars() == {"loss": 4.0}  # before the last update
    assert model.network("raw").weight.item() == 3.0
    assert 0 < model.network().weight.item() < 3.0
    assert isinstance(model, Samples)
    assert not isinstance(model, Likelihood)


def test_rates_follow_the_samples_seen() -> None:
    assert train(Mean(lr_schedule=lambda samples: 1.0 if samples < 2 else 0.0), 4.0, 4.0) == [2.0, 2.0]


def test_a_loss_that_is_not_finite_changes_nothing() -> None:
    model = Mean()
    with pytest.raises(Diverged, match=r"^a loss is nan at step 1: training has diverged"):
        train(model, 4.0, float("nan"))
    assert model.learner.weight.item() == 2.0
