"""Classifiers on embeddings by hand, the record, its controls, and what is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from src.config.errors import UserError
from src.data.digits import Digits
from src.data.spec import Batch, Spec
from src.evaluation import representation
from src.evaluation.representation import Labelled, RepresentationSuite, knn_accuracy, linear_accuracy, pixels, untrained
from src.models.model import Model

DATA = Digits()
SMALL = RepresentationSuite(samples=120, training=300, validation_samples=200)


class Embedding(Model):
    """One linear layer, or a map that is given."""

    def __init__(self, function: Any = None) -> None:
        super().__init__(DATA.spec, seed=0)
        self.layer, self.function = nn.Linear(64, 16), function
        self.sizes: list[int] = []

    def network(self, weights: str = "ema") -> nn.Module:
        return self.layer

    @torch.no_grad()
    def embed(self, batch: Batch, weights: str = "ema") -> Tensor:
        self.sizes.append(len(batch["x"]))
        return self.function(batch) if self.function else self.layer(batch["x"].flatten(1))


def one_hot_of(batch: Batch) -> Tensor:
    return nn.functional.one_hot(batch["y"], 10).float()


@pytest.fixture(scope="module")
def record() -> dict[str, Any]:
    return SMALL.evaluate(Embedding(), DATA, None, Path())


def test_neighbours_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cosine, not distance: (9, 1) is nearest to (1, 0). One neighbour at hand outvotes two at right angles."""
    bank = Labelled(torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 2.0]]), torch.tensor([0, 1, 1]))
    queries = Labelled(torch.tensor([[9.0, 1.0], [1.0, 9.0], [5.0, 0.0]]), torch.tensor([0, 1, 1]))
    assert knn_accuracy(bank, queries, 2) == pytest.approx(2 / 3)
    monkeypatch.setattr(representation, "CHUNK", 2)
    assert knn_accuracy(bank, queries, 2) == pytest.approx(2 / 3)
    monkeypatch.setattr(representation, "NEIGHBOURS", 1)
    assert knn_accuracy(bank, queries, 2) == pytest.approx(2 / 3)


def test_linear_probe_finds_a_plane_whatever_scale_and_offset() -> None:
    x = torch.randn(400, 5, generator=torch.Generator().manual_seed(0))
    y = (x @ torch.tensor([1.0, -2.0, 0.5, 0.0, 0.0]) > 0).long()
    found = linear_accuracy(Labelled(x[:300], y[:300]), Labelled(x[300:], y[300:]), 2)
    assert found > 0.95
    scaled = 1000 * x + 5
    assert linear_accuracy(Labelled(scaled[:300], y[:300]), Labelled(scaled[300:], y[300:]), 2) == pytest.approx(
        found, abs=0.011
    )
    constant = Labelled(torch.ones(4, 3), torch.tensor([1, 1, 1, 0]))
    assert linear_accuracy(constant, constant, 2) == 0.75, "embeddings that collapsed: the most frequent class"


def test_embeddings_that_are_the_classes_are_always_right() -> None:
    perfect = Embedding(one_hot_of)
    assert SMALL.validate(perfect, DATA) == 1
    assert SMALL.main.improves(1.0, 0.9)
    found = SMALL.evaluate(perfect, DATA, None, Path())
    assert found["metrics"] == {"knn_accuracy": 1, "linear_accuracy": 1}
    assert sum(perfect.sizes[:2]) == 400, "validate took 200 of each split"


def test_record_is_plain_and_says_how_it_was_measured(record: dict[str, Any]) -> None:
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert record["main"] == {"name": "knn_accuracy", "better": "higher"}
    assert list(record["controls"]) == list(record["control_names"]) == ["pixels", "untrained", "chance"]
    for measured in (record["metrics"], *record["controls"].values()):
        assert list(measured) == [column["key"] for column in record["columns"]]
    protocol = record["protocol"]
    assert (protocol["samples"], protocol["training"], protocol["dimensions"]) == (120, 300, 16)
    assert record["device"] == "cpu"
    assert SMALL.evaluate(Embedding(one_hot_of), DATA, None, Path())["protocol"].keys() == protocol.keys()


def test_controls_are_in_their_order(record: dict[str, Any]) -> None:
    accuracy = {name: control["knn_accuracy"] for name, control in record["controls"].items()}
    assert accuracy["pixels"] > 0.85
    assert accuracy["pixels"] > accuracy["untrained"] > 0.5
    assert accuracy["chance"] < 0.25


def test_untrained_weights_are_of_the_seed_and_the_own_ones_come_back() -> None:
    network = nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3), nn.ParameterList([torch.arange(6.0)]))
    nn.init.constant_(network[0].weight, 7.0)
    nn.init.constant_(network[1].weight, 7.0)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    drawn = []
    for seed in (0, 0, 1):
        state = torch.random.get_rng_state()
        with untrained(network, seed):
            drawn.append(network[0].weight.clone())
            assert torch.equal(network[1].weight, torch.ones(3))
            assert sorted(network[2][0].tolist()) == [0, 1, 2, 3, 4, 5]
            assert not torch.equal(network[2][0], before["2.0"])
        assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert drawn[0].abs().max() <= 0.5, "U(-1 / sqrt(4), 1 / sqrt(4))"
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_rows_do_not_depend_on_the_number_of_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    """`shared` gives each rank whole batches of BATCH; here one process plays both of two."""
    model = Embedding()
    monkeypatch.setattr(representation, "BATCH", 64)
    alone = SMALL.embedded(model.embed, model, DATA, "train", 300)
    assert model.sizes == [64, 64, 64, 64, 44]
    monkeypatch.setattr(representation, "shared", lambda function, n, batch: [function(slice(0, 128)), function(slice(128, n))])
    both = SMALL.embedded(model.embed, model, DATA, "train", 300)
    assert torch.equal(alone.x, both.x)
    assert torch.equal(alone.y, both.y)


def test_rows_are_chosen_by_the_seed() -> None:
    index, y = SMALL.chosen(DATA, "train", 300)
    assert np.array_equal(index, SMALL.chosen(DATA, "train", 300)[0])
    assert not np.array_equal(index, RepresentationSuite(seed=1).chosen(DATA, "train", 300)[0])
    assert np.array_equal(y.numpy(), DATA.split("train")["y"][index])
    assert len(set(index.tolist())) == 300
    assert len(RepresentationSuite().chosen(DATA, "test", 10_000)[0]) == 300, "all there are"


def test_pixels_of_large_images_are_averaged() -> None:
    assert torch.equal(pixels({"x": torch.full((2, 3, 64, 64), -1.0)}), torch.zeros(2, 3 * 32 * 32))
    assert pixels({"x": torch.ones(2, 1, 8, 8)}).tolist() == [[1.0] * 64] * 2


def test_what_cannot_be_measured_is_refused() -> None:
    SMALL.check(DATA.spec)
    for spec in (Spec.of("image", (1, 8, 8)), Spec.of("points", (2,), ("a", "b"))):
        with pytest.raises(UserError, match="images that have classes"):
            SMALL.check(spec)
    with pytest.raises(UserError, match="has no embeddings"):
        SMALL.check_model(Model(DATA.spec, seed=0))
