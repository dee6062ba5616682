"""Samples moved along directions: the strips' pictures, what is recorded, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from src.config.errors import UserError
from src.config.experiment import Experiment
from src.evaluation.direction_strips import Directions
from src.evaluation.steering import Steering, recorded

SETTINGS = {"n": 2, "latents": 1000, "rows": 2, "seed": 0, "weights": "ema", "pairs": 2}


@pytest.fixture(scope="module", params=["cdcgan", "stylegan2"])
def model(request: Any, compose: Any) -> Any:
    experiment = Experiment(compose(f"model={request.param}", "data=digits", "debug=tiny"))
    torch.manual_seed(0)
    return experiment.model(experiment.dataset.spec).eval()


def test_a_strip_has_the_same_pictures(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Directions, "_probes", {})
    strips = dict(Directions(model, None, None, SETTINGS, None).strips())
    steering = Steering(model)
    for column, amount in ((0, -3), (3, 0), (5, 2)):
        expected = strips["sefa-2"][:, column]
        assert torch.allclose(steering.sample(range(2), moves={"sefa-2": amount}), expected, atol=1e-5)
    assert torch.allclose(steering.sample(range(3)), model.sample(range(3)), atol=1e-6)


def test_moves_add_up_and_a_step_is_one_standard_deviation(model: Any) -> None:
    size = Steering(model).codes.shape[1]
    unit = torch.eye(size)[1]
    steering = Steering(model, attributes={"attribute-odd": (unit * 2).tolist()})
    both = steering.sample([5], moves={"sefa-1": 1.5, "attribute-odd": -1})
    codes = steering.space.codes([5], model.conditions([5])) + 1.5 * steering.steps["sefa-1"] - 2 * unit
    assert torch.equal(both, steering.space.samples(codes, model.conditions([5])))
    step = steering.steps["sefa-1"]
    along = steering.codes @ torch.nn.functional.normalize(step, dim=0)
    assert step.norm().item() == pytest.approx(along.std().item(), rel=1e-4)
    assert steering.names(2) == ["sefa-1", "sefa-2", "attribute-odd"]


@pytest.mark.parametrize(
    ("moves", "message"),
    [
        ({"sefa-999": 1}, "there is no sefa-999: known: sefa-1 to sefa-.*; python -m src.directions finds"),
        ({"sefa-1": "far"}, "sefa-1=far must be a number"),
        ({"sefa-1": float("nan")}, "sefa-1=nan must be a number"),
        ("sefa-1", "must be names with numbers, such as directions={sefa-1: 2}"),
    ],
)
def test_what_is_no_move(model: Any, moves: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Steering(model).sample([0], moves=moves)


def test_attributes_count_for_the_weights_that_they_were_found_in(tmp_path: Path) -> None:
    path = tmp_path / "directions.json"
    path.write_text(json.dumps({"model": "a", "steps": {"attribute-odd": [1, 2]}}))
    assert recorded(path, "a") == {"attribute-odd": [1, 2]}
    assert recorded(path, "b") == recorded(None, "a") == recorded(tmp_path / "none", "a") == {}
    for damaged in ("{", "[]", '{"model": "a", "steps": {"x": ["y"]}}', '{"model": "a"}'):
        path.write_text(damaged)
        assert recorded(path, "a") == {}
