"""What the rules for pictures share: export."""

from pathlib import Path
from typing import Any

import pytest

from pictures import PICTURES, words_of_pictures
from src.config.experiment import Experiment
from src.runs.export import to_onnx

NAMES = [pytest.param(name, marks=[pytest.mark.slow] * (name != "pix2pix")) for name in PICTURES if name != "clip"]


@pytest.mark.parametrize("name", NAMES)
def test_onnx_draws_what_pytorch_draws(name: str, compose: Any, tmp_path: Path) -> None:
    """`to_onnx` compares them."""
    experiment = Experiment(compose(f"model={name}", *words_of_pictures(name), "debug=tiny"))
    model = experiment.model(experiment.dataset.spec)
    inputs = model.example_inputs()
    assert to_onnx(model.generator_of(), tuple(inputs.values()), tmp_path / "network.onnx", list(inputs), {})
