"""Pictures from layouts: what the loss and the samples know of what lies where."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from pictures import LaidOutShapes, batch_of
from src.config.errors import UserError
from src.data.digits import Digits
from src.data.loader import Blocks
from src.models.capabilities import BoundsLikelihood, ConditionsFromData, Interpolates, Samples
from src.models.layout_to_image import LayoutToImage
from src.networks.layout_map import LayoutMap
from src.networks.unet import UNet
from src.runs.export import to_onnx
from src.training import rng

DATA = LaidOutShapes()
UNET = partial(UNet, width=16, multipliers=[1], blocks=1, patch=2, layout=partial(LayoutMap, width=8))


def make(**changes: Any) -> LayoutToImage:
    rng.seed_layers(0, -1)
    settings: dict[str, Any] = {"spec": DATA.spec, "seed": 3, "network": UNET, "nfe": 4}
    return LayoutToImage(**settings | {"optimizer": partial(torch.optim.Adam, lr=1e-2)} | changes)


@pytest.fixture(scope="module")
def trained() -> LayoutToImage:
    model, train = make(), DATA.split("train")
    optimizers = model.configure_optimizers()
    while model.step < 150:
        for index in Blocks(len(train), 16, seed=3, at=lambda: model.step, stop=150):
            model.train_on({name: torch.from_numpy(rows) for name, rows in train.batch(index).items()}, optimizers)
    return model


def test_the_loss_rises_when_layouts_are_shuffled(trained: LayoutToImage) -> None:
    trained.condition_dropout = 0.0
    batch = batch_of(DATA, "validation", rows=32)
    other = batch | {"layout": batch["layout"].roll(1, dims=0)}
    with torch.no_grad():
        assert trained.loss(other).mean() > 1.02 * trained.loss(batch).mean()
    trained.condition_dropout = 0.1


def test_samples_have_what_is_asked_where_it_is_asked(trained: LayoutToImage) -> None:
    layout = torch.zeros(3, 3, 5)
    places = [(0.0625, 0.0625), (0.625, 0.125), (0.125, 0.625)]
    for kind, place in enumerate(places):
        layout[kind, 0] = torch.tensor([kind, *place, 0.25, 0.25])
    x = trained.sample(range(12), {"layout": layout.repeat_interleave(4, 0)}, guidance=2.0).unflatten(0, (3, 4))
    for kind, (left, top) in enumerate(places):
        column, row = round(left * 16), round(top * 16)
        assert x[kind, :, :, row : row + 4, column : column + 4].mean((0, 2, 3)).argmax() == kind
        assert x[kind, :, :, 10:, 10:].mean() > 0.5  # white where nothing is asked


def test_the_empty_layout_is_the_null(trained: LayoutToImage) -> None:
    """It is the default condition and what dropped layouts become; rows without a box change nothing."""
    empty = trained.conditions(range(3))["layout"]
    assert not empty.any()
    assert torch.equal(trained.sample(range(3)), trained.sample(range(3), {"layout": empty}, guidance=3.0))
    network, x = trained.network(), torch.randn(2, 3, 16, 16)
    y = batch_of(DATA, rows=2)["layout"]
    with torch.no_grad():
        null, twice = (trained.guided(network, y, guidance, x, 0.5) for guidance in (0.0, 2.0))
        plain = trained.guided(network, torch.cat([y, torch.zeros(2, 2, 5)], dim=1), 1.0, x, 0.5)
        torch.testing.assert_close(null, network(x, torch.full((2,), 0.5)))
    torch.testing.assert_close(twice, 2 * plain - null)
    trained.condition_dropout = 0.5
    found = trained.training_pair(batch_of(DATA, rows=64))[1]
    assert found is not None
    assert 16 < (found == 0).all(dim=(1, 2)).sum() < 48
    trained.condition_dropout = 0.1


def test_samples_depend_on_their_seed_and_layout_alone(trained: LayoutToImage) -> None:
    cond = {"layout": batch_of(DATA, rows=2)["layout"].repeat(70, 1, 1)}
    many = trained.sample(range(140), cond)
    assert torch.equal(many[[133, 4]], trained.sample([133, 4], {"layout": cond["layout"][[133, 4]]}))


def test_onnx_draws_what_pytorch_draws(tmp_path: Path) -> None:
    """`to_onnx` compares them."""
    model = make()
    for parameter in model.network().parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    inputs = model.example_inputs()
    assert list(inputs) == ["x_t", "t", "layout"]
    to_onnx(model.generator_of(), tuple(inputs.values()), tmp_path / "network.onnx", list(inputs), {})


def test_capabilities_and_refusals() -> None:
    assert all(isinstance(make(), capability) for capability in (Samples, ConditionsFromData, Interpolates, BoundsLikelihood))
    with pytest.raises(UserError, match="the data have none: take data=named_scenes"):
        make(spec=Digits().spec)
