"""Gradient accumulation makes the update of the whole batch, in parts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from src.data.pixels import from_uint8
from src.data.spec import Batch
from src.parallel.place import place
from src.parallel.processes import Team
from src.runs.checkpoints import load_checkpoint
from src.runs.folder import RunFolder, build_dataset, build_model
from src.training.fit import fit

WORDS = [
    *("data=digits", "debug=tiny", "trainer.threads=1", "data.batch_size=16", "evaluate=false"),
    "trainer.precision=64-true",  # in float32 an argument of a LeakyReLU may fall on the other side of zero
    *("model.d_steps=2", "model.penalties.r1.every=3", "samples.n=4", "validation={every: 100, samples: 32}"),
    "+model.augment={_target_: src.models.gan.ada.ADA, policy: [shift, contrast], target: -1, every: 2, kimg: 0.1}",
]
CDCGAN = [
    *("model=cdcgan", "model.discriminator.spectral_norm=true"),
    "model.generator._target_=src.networks.transformer.TransformerGenerator",  # without batch norm
    *("~model.generator.width", "+model.generator.depth=1", "+model.generator.width=16", "+model.generator.heads=2"),
]
MODELS = {
    "non_saturating": [*CDCGAN, "loss=non_saturating"],
    "relativistic_paired": [*CDCGAN, "loss=relativistic_paired"],
    "stylegan2": ["model=stylegan2", "model.g_penalties.path_length.every=2"],  # its layers draw numbers, and keep a mean
}


def make(config: dict[str, Any]) -> dict[str, Any]:
    run = RunFolder(Path(config["run_dir"]))
    with run, Team(place(config)) as team:
        fit(config, run, build_dataset(config), 10, "images", team)
    checkpoint = run.newest("step")
    assert checkpoint is not None
    return load_checkpoint(checkpoint)


@pytest.mark.parametrize("model", MODELS)
def test_parts_are_the_whole(model: str, compose: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    words = [*MODELS[model], *WORDS]
    whole = make(compose(*words, f"run_dir={tmp_path / 'whole'}"))
    parts = make(compose(*words, f"run_dir={tmp_path / 'parts'}", "trainer.accumulate=4"))
    assert RunFolder(tmp_path / "parts").manifest()["accumulate"] == 4
    assert parts["clock"] == whole["clock"]
    assert whole["state_dict"]["augment.p"] > 0.1
    for key, tensor in whole["state_dict"].items():
        torch.testing.assert_close(parts["state_dict"][key], tensor, rtol=0, atol=1e-9, msg=key)


def test_the_vectors_of_a_generator_s_spectral_norm_move_once_an_update(compose: Callable[..., dict[str, Any]]) -> None:
    """And both networks' updates find the generator with the same ones, as in the whole batch."""
    sgd = "{_target_: torch.optim.SGD, _partial_: true, lr: 0.03}"
    words = ["model.augment=null", "model.ema=null", "model.generator={widths: [16], batch_norm: false}", "model.d_steps=2"]
    words += [word for name in ("g", "d") for word in (f"~model.{name}_optimizer", f"+model.{name}_optimizer={sgd}")]
    config = compose("model=mlp_gan", "data=digits", *words)
    dataset = build_dataset(config)
    x, y = (torch.from_numpy(part[:160].copy()) for part in (dataset.split("train").x, dataset.split("train").y))
    states = []
    for parts in (1, 4):
        model = build_model(config, dataset.spec)
        for layer in [layer for layer in model.generator.modules() if isinstance(layer, nn.Linear)]:
            parametrizations.spectral_norm(layer)
        model.parts = parts
        model.training_step(Batch(from_uint8(x).view(10, 16, *x.shape[1:]), y.view(10, 16)), model.configure_optimizers())
        states.append(model.state_dict())
    torch.testing.assert_close(states[1], states[0], rtol=0, atol=1e-5)
