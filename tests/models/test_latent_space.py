"""Codes of a latent space, and the layers that act on them: Z of most generators, W of StyleGAN2."""

from typing import Any

import pytest
import torch
from torch import nn

from src.config.experiment import Experiment
from src.models.latent_space import LatentSpace, weights_of
from src.networks.stylegan2 import EqualLinear


def model_of(compose: Any, name: str, *words: str) -> Any:
    experiment = Experiment(compose(f"model={name}", "data=digits", "debug=tiny", *words))
    torch.manual_seed(0)
    return experiment.model(experiment.dataset.spec).eval()


@pytest.mark.parametrize("name", ["mlp_gan", "cdcgan", "sngan", "r3gan", "stylegan2", "biggan", "implicit_gan", "vae"])
def test_codes_give_the_samples_of_their_seeds(name: str, compose: Any) -> None:
    model = model_of(compose, name)
    space, seeds = LatentSpace(model), range(3)
    cond = model.conditions(seeds)
    codes = space.codes(seeds, cond)
    assert torch.allclose(space.samples(codes, cond), model.sample(seeds), atol=1e-6)
    matrix = space.matrix()
    assert (matrix.shape[1], matrix.dtype) == (codes.shape[1], torch.float64)
    assert matrix.isfinite().all()
    assert matrix.any()


def test_the_first_layer_of_z(compose: Any) -> None:
    """Without the columns of the class."""
    model = model_of(compose, "cdcgan")
    weight = model.generator_of().project.weight
    assert weight.shape[1] == model.z_dim + 10
    assert torch.allclose(LatentSpace(model).matrix(), weight[:, : model.z_dim].double(), atol=1e-6)


def test_all_styles_of_w(compose: Any) -> None:
    model = model_of(compose, "stylegan2")
    space = LatentSpace(model)
    styles = [layer.style for layer in model.generator_of().modules() if hasattr(layer, "style")]
    assert space.name == "w"
    assert space.matrix().shape[0] == sum(style.weight.shape[0] for style in styles)


def test_weights_are_those_that_act() -> None:
    layer = EqualLinear(6, 4, bias=1.0, multiplier=0.5)
    x = torch.randn(5, 6)
    assert torch.allclose((x.double() @ weights_of(layer, 6).mT).float(), layer(x) - layer(torch.zeros(1, 6)), atol=1e-5)
    wide = weights_of(nn.Linear(3, 2), 5)  # the first part of a hierarchical latent
    assert not wide[:, 3:].any()
