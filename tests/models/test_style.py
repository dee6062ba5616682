"""Styles: the loss against the paper's equations, the picture in the checkpoint, features of the pinned classifier."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as PILImage

from pictures import Maps, Shapes, batch_of
from src.config.errors import UserError
from src.data.digits import Digits
from src.evaluation.style import StyleSuite
from src.models.style import EfficientNetMaps, Style, gram, relative
from src.networks.translator import ResidualTranslator
from src.training import rng

DATA = Shapes()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Red and yellow stripes."""
    pixels = np.zeros((32, 48, 3), np.uint8)
    pixels[..., 0], pixels[::4, :, 1] = 255, 255
    PILImage.fromarray(pixels).save(tmp_path / "stripes.png")
    return tmp_path / "stripes.png"


def make(path: Path, data: Any = DATA, **changes: Any) -> Style:
    rng.seed_layers(0, -1)
    settings: dict[str, Any] = {
        "network": partial(ResidualTranslator, width=4, blocks=1, kernel=3, source="x"),
        "features": Maps,
        "picture": str(path),
        "optimizer": partial(torch.optim.AdamW, lr=1e-2),
        "side": 16,
        "content_layer": 1,
    }
    return Style(data.spec, seed=0, **settings | changes)


def test_the_loss_is_zero_for_the_content_and_for_the_style() -> None:
    maps = torch.randn(2, 3, 4, 5)
    plain = torch.stack([one.flatten(1) @ one.flatten(1).T / 20 for one in maps])
    torch.testing.assert_close(gram(maps), plain)
    assert relative(maps, maps).tolist() == [0, 0]
    torch.testing.assert_close(relative(torch.zeros_like(maps), maps), torch.ones(2))


def test_terms_of_pictures(path: Path) -> None:
    model = make(path)
    x = batch_of(DATA, rows=3)["x"]
    copied = model.terms(x, x)
    assert copied["content"].tolist() == [0, 0, 0]
    assert (copied["style"] > 0.5).all()
    style = (model.picture.float() / 127.5 - 1)[None].expand(3, -1, -1, -1)
    drawn = model.terms(x, style)
    assert drawn["style"].max() < 1e-6
    assert (drawn["content"] > 0.5).all()
    assert model.terms(x, torch.zeros_like(x))["smooth"].tolist() == [0, 0, 0]


def test_it_learns_the_style_and_the_picture_is_in_the_checkpoint(path: Path) -> None:
    model = make(path)
    (optimizer,), batch = model.configure_optimizers(), batch_of(DATA)
    styles = []
    for _ in range(20):
        model.update([batch], optimizer)
        styles.append(model.scalars()["loss/style"])
    assert styles[-1] < 0.5 * styles[0]
    assert {*model.scalars()} == {"loss", "loss/content", "loss/style", "loss/smooth"}
    other = make(path.with_name("gone.png"))
    other.load_state_dict(model.state_dict())
    assert torch.equal(other.loss(batch), model.loss(batch))
    suite = StyleSuite(samples=20)
    suite.check_model(model)
    record = suite.evaluate(model, DATA, None, path.parent)
    assert record["metrics"]["loss"] < min(record["controls"][name]["loss"] for name in ("copy", "style"))
    assert record["controls"]["copy"]["content"] == 0


def test_digits_and_other_sides(path: Path) -> None:
    digits = Digits()
    model = make(path, digits)
    model.update([batch_of(digits)], *model.configure_optimizers())
    assert model.sample(range(2)).shape == (2, 1, 8, 8)
    assert model.sample([0], {"source": torch.zeros(1, 1, 12, 20)}).shape == (1, 1, 12, 20)


def test_a_picture_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    for name in ("broken.png", "none.png"):
        with pytest.raises(UserError, match=r"model\.picture=.*cannot read it .*name an intact picture"):
            make(tmp_path / name).check_parts()


def test_maps_of_the_pinned_classifier() -> None:
    try:
        maps = EfficientNetMaps(scale=1.0)
    except UserError as error:
        pytest.skip(str(error))
    x = torch.rand(1, 3, 64, 64) * 2 - 1
    found = maps(x)
    assert [tuple(one.shape[1:]) for one in found] == [(16, 32, 32), (24, 16, 16), (40, 8, 8), (112, 4, 4)]
    stages = maps.network.stages((x * 127.5 + 0.5) / 128)[0]
    assert all(torch.equal(one, stage) for one, stage in zip(found, stages, strict=False))


def test_pictures_of_another_side(path: Path) -> None:
    """Each is the network's own answer; sides must be multiples of four."""
    model, x = make(path), torch.rand(2, 3, 24, 24) * 2 - 1
    made = model.sample([0, 1], {"source": x}, side=24)
    torch.testing.assert_close(made, model.network()(x).detach())
    assert made.shape == x.shape
    with pytest.raises(UserError, match="side=30: this network takes multiples of 4: take 32"):
        model.sample([0], {"source": x[:1]}, side=30)


def test_the_recipe_itself_is_valid(compose: Any, path: Path) -> None:
    """Other tests replace its features."""
    assert compose("model=style", f"model.picture={path}")["model"]["features"]["depths"] == [0, 2, 4, 10]
