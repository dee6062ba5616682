"""Samples from latents: by seed, by class, truncated, interpolated, at any side."""

from typing import Any

import pytest
import torch
from torch import nn

from src.config.errors import UserError
from src.data.spec import Spec
from src.models.latent import LatentModel, normal_per_seed

SPEC = Spec.of("image", (1, 8, 8), tuple("abc"))


class Network(nn.Module):
    """Answers with its latent, its class and what else it was told."""

    z_dim = 64

    def __init__(self, classes: int = 0, truncates: bool = False) -> None:
        super().__init__()
        self.classes, self.truncates = classes, truncates

    def forward(self, z: torch.Tensor, y: torch.Tensor | None = None, truncation: float = 1.0) -> torch.Tensor:
        assert not self.training
        x = z.clone() if y is None else z + 100 * y[:, None]
        return x.unflatten(1, (1, 8, 8)) * truncation


class Rendering(Network):
    def render(self, z: torch.Tensor, y: torch.Tensor | None = None, side: int = 8) -> torch.Tensor:
        return torch.ones(len(z), 1, side, side)


class Single(Network):
    z_dim = 1

    def forward(self, z: torch.Tensor, y: torch.Tensor | None = None) -> torch.Tensor:
        return z.view(-1, 1, 1, 1)


class Plain(LatentModel):
    def __init__(self, network: nn.Module) -> None:
        super().__init__(SPEC, seed=0)
        self.learner = network

    def network(self, weights: str = "ema") -> nn.Module:
        return self.learner


def test_samples_depend_on_their_seed_alone() -> None:
    model = Plain(Network())
    many = model.sample(range(300))
    assert many.shape == (300, 1, 8, 8)
    assert torch.equal(many[:5], model.sample(range(5)))
    assert torch.equal(many[[250, 7]], model.sample([250, 7]))
    assert model.learner.training  # sampling leaves the mode as it was
    assert model.sample([]).numel() == 0


def test_classes_go_round_unless_they_are_asked_for() -> None:
    model = Plain(Network(classes=3))
    assert model.conditions([0, 1, 2, 3, 1_000_000])["y"].tolist() == [0, 1, 2, 0, 1]
    plain = Plain(Network()).sample(range(6))
    torch.testing.assert_close(
        model.sample(range(6)) - plain, 100.0 * torch.tensor([0, 1, 2, 0, 1, 2]).view(6, 1, 1, 1).expand_as(plain)
    )
    asked = model.sample(range(6), cond={"y": torch.full((6,), 2)})
    torch.testing.assert_close(asked - plain, torch.full_like(plain, 200.0))
    assert Plain(Network()).conditions([1]) == {}


def test_truncated_latents_keep_their_order_and_their_bound() -> None:
    x = Plain(Network()).sample(range(50)).flatten()
    cut = Plain(Network()).sample(range(50), truncation=0.5).flatten()
    assert x.abs().max() > 2
    assert 0.49 < cut.abs().max() <= 0.5
    assert torch.equal(cut[x.argsort()], cut.sort().values)
    # Uniform quantiles between those of the bounds: the variance of a truncated normal (Johnson, Kotz and Balakrishnan 1994).
    density, inside = 0.3520653, 0.3829249  # phi(0.5), Phi(0.5) - Phi(-0.5)
    assert cut.var().item() == pytest.approx(1 - 2 * 0.5 * density / inside, rel=0.05)


def test_a_generator_may_truncate_by_itself() -> None:
    x = Plain(Network()).sample(range(3))
    torch.testing.assert_close(Plain(Network(truncates=True)).sample(range(3), truncation=0.5), 0.5 * x)


def test_any_side_where_the_generator_can() -> None:
    assert Plain(Rendering()).sample(range(3), side=20).shape == (3, 1, 20, 20)
    with pytest.raises(UserError, match="one size only"):
        Plain(Network()).sample(range(3), side=20)


def test_interpolation_starts_and_ends_at_its_seeds() -> None:
    model = Plain(Network())
    strips = model.interpolate(rows=2, steps=5, seed=10)
    assert strips.shape == (2, 5, 1, 8, 8)
    torch.testing.assert_close(strips[:, [0, -1]].flatten(0, 1), model.sample(range(10, 14)), rtol=1e-5, atol=1e-5)
    norms = strips.flatten(2).norm(dim=2)
    assert (norms[:, 2] > 0.8 * norms[:, 0]).all()  # the great circle


def test_each_row_of_an_interpolation_has_its_class() -> None:
    strips = Plain(Network(classes=3)).interpolate(rows=3, steps=4, seed=0)
    means: Any = strips.flatten(2).mean(dim=2).div(100).round()
    assert means.tolist() == [[0] * 4, [1] * 4, [2] * 4]
    strips = Plain(Network(classes=3)).interpolate(2, 4, seed=0, cond={"y": torch.tensor([2, 0])})
    means = strips.flatten(2).mean(dim=2).div(100).round()
    assert means.tolist() == [[2] * 4, [0] * 4]


def test_interpolation_takes_what_samples_take() -> None:
    model = Plain(Network(truncates=True))
    torch.testing.assert_close(model.interpolate(2, 4, seed=0, truncation=0.5), 0.5 * model.interpolate(2, 4, seed=0))
    assert Plain(Rendering()).interpolate(2, 4, seed=0, side=20).shape == (2, 4, 1, 20, 20)


def test_interpolation_of_single_numbers_is_straight() -> None:
    model = Plain(Single())
    strips = model.interpolate(rows=2, steps=3, seed=10)
    torch.testing.assert_close(strips[:, [0, -1]].flatten(0, 1), model.sample(range(10, 14)))
    torch.testing.assert_close(strips[:, 1], strips[:, [0, 2]].mean(1))


def test_example_inputs_hold_every_class() -> None:
    assert {name: x.shape for name, x in Plain(Network()).example_inputs().items()} == {"z": (1, 64)}
    inputs = Plain(Network(classes=3)).example_inputs()
    assert list(inputs) == ["z", "y"]  # in the order of `forward`
    assert (inputs["z"].shape, inputs["y"].tolist()) == ((3, 64), [0, 1, 2])


def test_normal_per_seed_rows_depend_on_their_seed_alone() -> None:
    many = normal_per_seed(range(10), 6)
    assert torch.equal(many[3:5], normal_per_seed([3, 4], 6))
    assert many.shape == (10, 6)
    assert normal_per_seed([], 6).shape == (0, 6)
