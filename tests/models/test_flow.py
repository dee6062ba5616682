"""Flow matching against Gaussian data, whose velocity, map and likelihood have closed forms; and what its samples depend on."""

import math
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Normal

from src.config.errors import UserError
from src.data.digits import Digits
from src.data.loader import Blocks
from src.data.spec import Batch, Field, Spec
from src.models.capabilities import BoundsLikelihood, Exports, Interpolates, Samples, Unfolds
from src.models.flow import Flow, paired_with
from src.models.latent import normal_per_seed
from src.networks.unet import UNet
from src.runs.export import to_onnx
from src.training import rng
from src.training.ema import EMA

DATA = Digits()
TRAIN = DATA.split("train")
POINTS = Spec.of("points", (4,))
MEAN, DEVIATION = 0.5, 0.8


class Exact(nn.Module):
    """The velocity for data from N(MEAN, DEVIATION^2 I): E[x_1 - x_0 | x_t], plus a constant error."""

    classes = 0

    def __init__(self, spec: Spec, conditional: bool, error: float = 0.0) -> None:
        super().__init__()
        self.error, self.unused = error, nn.Parameter(torch.zeros(1))
        self.seen: list[tuple[Tensor, Tensor]] = []

    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        self.seen.append((x, t))
        t = t.view(-1, *[1] * (x.dim() - 1))
        variance = (1 - t) ** 2 + (t * DEVIATION) ** 2
        return MEAN + (t * DEVIATION**2 - (1 - t)) / variance * (x - t * MEAN) + self.error + 0 * self.unused


def make(conditional: bool = False, **changes: Any) -> Flow:
    rng.seed_layers(0, -1)
    settings: dict[str, Any] = {
        "spec": DATA.spec,
        "seed": 3,
        "network": partial(UNet, width=16, multipliers=[1, 2], blocks=1),
        "optimizer": partial(torch.optim.Adam, lr=3e-3),
        "ema": partial(EMA, half_life=1000),
        "conditional": conditional,
    }
    return Flow(**settings | changes)


def exact(spec: Spec = POINTS, error: float = 0.0, **changes: Any) -> Flow:
    return make(spec=spec, network=partial(Exact, error=error), ema=None, **changes)


def gaussian(rows: int, spec: Spec = POINTS) -> Tensor:
    return MEAN + DEVIATION * torch.randn(rows, *spec.shape, generator=torch.Generator().manual_seed(0))


def fit(model: Flow, stop: int, batch_size: int = 64) -> Flow:
    optimizers = model.configure_optimizers()
    while model.step < stop:
        for index in Blocks(len(TRAIN), batch_size, seed=3, at=lambda: model.step, stop=stop):
            model.train_on({name: torch.from_numpy(rows) for name, rows in TRAIN.batch(index).items()}, optimizers)
    return model


def batch_of(split: str, rows: slice = slice(None)) -> Batch:
    part = DATA.split(split)
    return DATA.spec.to_model({name: torch.from_numpy(part[name][rows].copy()) for name in ("x", "y")})


@pytest.fixture(scope="module")
def trained() -> Flow:
    return fit(make(conditional=True, likelihood_steps=8), stop=100)


# Training


@pytest.mark.parametrize("time_std", [None, 1.0])
def test_inputs_lie_on_the_path_from_noise_to_data(time_std: float | None) -> None:
    model, x = exact(time_std=time_std), gaussian(4000)
    model.loss({"x": x})
    ((seen, t),) = model.learner.seen  # type: ignore[misc]
    noise = (seen - t[:, None] * x) / (1 - t[:, None])
    torch.testing.assert_close(noise, torch.randn(4000, 4, generator=rng.generator(3, "noise", 0)), rtol=0, atol=1e-2)
    quantiles = t.sort().values[[1000, 2000, 3000]]
    logit = 0.6744898 * (time_std or 0)  # the upper quartile of N(0, 1)
    expected = [1 / (1 + math.exp(logit)), 0.5, 1 / (1 + math.exp(-logit))] if time_std else [0.25, 0.5, 0.75]
    torch.testing.assert_close(quantiles, torch.tensor(expected), rtol=0, atol=1e-3)


def test_the_loss_is_least_at_the_exact_velocity() -> None:
    """An error e in all dimensions raises it by e^2; what remains is the variance of x_1 - x_0 given x_t."""
    batch = {"x": gaussian(50_000)}
    losses = {error: exact(error=error).loss(batch) for error in (-0.3, 0.0, 0.3)}
    assert losses[0.0].shape == (50_000,)
    for error in (-0.3, 0.3):
        assert (losses[error] - losses[0.0]).mean().item() == pytest.approx(error**2, abs=0.01)


def test_the_loss_has_the_random_numbers_of_its_step() -> None:
    model, batch = make(), batch_of("train", slice(8))
    loss = model.loss(batch)
    torch.testing.assert_close(loss, model.loss(batch), rtol=0, atol=0)
    model.step = 1
    assert not torch.equal(loss, model.loss(batch))


def test_dequantised_pixels_stay_in_their_level() -> None:
    batch = batch_of("train", slice(50))
    x, _ = make().training_pair(batch)
    assert not torch.equal(x, batch["x"])
    assert (x - batch["x"]).abs().max() <= 1 / 255 + 1e-6
    assert torch.equal(DATA.spec.x.to_data(x), DATA.spec.x.to_data(batch["x"]))


def test_training_lowers_the_loss_and_uses_the_class(trained: Flow) -> None:
    batch = batch_of("test")
    trained.condition_dropout = 0.0
    with torch.no_grad():
        loss = trained.loss(batch).mean()
        assert loss < 0.5 * make(conditional=True).loss(batch).mean()
        shuffled = batch | {"y": batch["y"].roll(1)}
        assert trained.loss(shuffled).mean() > 1.05 * loss
    trained.condition_dropout = 0.1
    assert trained.nll(shuffled)[0].mean() > trained.nll(batch)[0].mean() + 1


# Pairs by optimal transport


def test_pairs_of_one_dimension_are_in_the_same_order() -> None:
    x, noise = torch.tensor([[3.0], [1.0], [2.0]]), torch.tensor([[0.0], [-1.0], [1.0]])
    assert paired_with(x, noise).flatten().tolist() == [1.0, -1.0, 0.0]


def test_pairs_are_nearer_and_stay_within_a_class() -> None:
    generator = torch.Generator().manual_seed(0)
    x, noise = torch.randn(2, 64, 1, 3, 3, generator=generator)
    y = torch.arange(64) % 4
    cost = [(x - order).square().sum().item() for order in (noise, paired_with(x, noise, y), paired_with(x, noise))]
    assert cost[0] > cost[1] > cost[2]
    for value in range(4):
        before, after = (part[y == value].flatten(1) for part in (noise, paired_with(x, noise, y)))
        assert torch.equal(before[before[:, 0].argsort()], after[after[:, 0].argsort()])


def test_optimal_transport_in_training() -> None:
    batch = {"x": gaussian(256)}
    plain, paired = exact(), exact(optimal_transport=True)
    plain.loss(batch), paired.loss(batch)
    ((before, t),), ((after, again),) = plain.learner.seen, paired.learner.seen  # type: ignore[misc]
    assert torch.equal(t, again)
    way = [((batch["x"] - seen) / (1 - t[:, None])).square().sum(1).mean() for seen in (before, after)]  # ||x_1 - x_0||^2
    assert way[1] < 0.6 * way[0]


# Samples


def test_samples_follow_the_exact_map() -> None:
    """x_1 = MEAN + DEVIATION x_0."""
    expected = MEAN + DEVIATION * normal_per_seed(range(300), 4)
    for solver, nfe, error in (("euler", 200, 4e-2), ("heun", 199, 2e-3), ("multistep", 200, 2e-3)):
        torch.testing.assert_close(exact(nfe=nfe, solver=solver).sample(range(300)), expected, rtol=0, atol=error)


@pytest.mark.parametrize("settings", [{}, {"guidance": 1.7, "solver": "heun", "nfe": 4}])
def test_samples_depend_on_their_seed_and_class_alone(settings: dict[str, Any], trained: Flow) -> None:
    many = trained.sample(range(200), **settings)
    assert many.shape == (200, 1, 8, 8)
    assert many.abs().max() <= 1
    assert torch.equal(many[[150, 7]], trained.sample([150, 7], **settings))
    assert trained.conditions([13])["y"].tolist() == [3]
    other = trained.sample(range(3), {"y": torch.tensor([5, 5, 5])}, **settings)
    assert not torch.equal(other, many[:3])
    assert trained.sample([]).shape == (0, 1, 8, 8)


def test_guidance_moves_away_from_the_null_class(trained: Flow) -> None:
    network, x = trained.network(), torch.randn(5, 1, 8, 8)
    y = torch.arange(5)
    with torch.no_grad():
        null, plain, twice = (trained.guided(network, y, guidance, x, 0.5) for guidance in (0.0, 1.0, 2.0))
        torch.testing.assert_close(null, network(x, torch.full((5,), 0.5)))
    torch.testing.assert_close(twice, 2 * plain - null)
    assert torch.equal(trained.sample(range(2), guidance=1.0), trained.sample(range(2)))


def test_every_evaluation_counts(trained: Flow) -> None:
    calls: list[int] = []
    handle = trained.network().register_forward_hook(lambda *_: calls.append(1))
    for solver, nfe, guidance in (("euler", 3, 1.0), ("heun", 6, 1.0), ("multistep", 5, 1.5)):
        calls.clear()
        trained.sample(range(2), solver=solver, nfe=nfe, guidance=guidance)
        assert len(calls) == nfe
    handle.remove()


def test_refusals() -> None:
    with pytest.raises(UserError, match=r"this model has none: leave it out, or train with model\.conditional=true"):
        make().sample([0], guidance=1.5)
    with pytest.raises(UserError, match="this model has none"):  # before a training of hours
        make(guidance=1.5)
    with pytest.raises(UserError, match=r"also trained without classes: leave it out, or train with model\.condition_dropout"):
        make(conditional=True, condition_dropout=0.0).sample([0], guidance=1.5)
    with pytest.raises(UserError, match="nfe=2000: must be from 1 to 1,000"):
        make().sample([0], nfe=2000)


def test_a_film_ends_with_the_samples(trained: Flow) -> None:
    for frames in (1, 4, 30):
        film = trained.unfold(range(3), frames, nfe=5)
        assert film.shape == (frames, 3, 1, 8, 8)
        assert torch.equal(film[-1], trained.sample(range(3), nfe=5))
    assert torch.equal(film[0], normal_per_seed(range(3), 64).view(3, 1, 8, 8))
    strip = trained.interpolate(2, 3, seed=0, cond={"y": torch.tensor([1, 2])})
    torch.testing.assert_close(strip[1, 2], trained.sample([3], {"y": torch.tensor([2])})[0])


def test_capabilities_and_export(trained: Flow, tmp_path: Any) -> None:
    assert all(isinstance(trained, capability) for capability in (Samples, Interpolates, Unfolds, BoundsLikelihood, Exports))
    model = make(conditional=True, network=partial(UNet, width=8, multipliers=[1], blocks=1))
    inputs = model.example_inputs()
    assert list(inputs) == ["x_t", "t", "y"]
    for parameter in model.network().parameters():
        nn.init.normal_(parameter, std=0.1)
    to_onnx(model.generator_of(), tuple(inputs.values()), tmp_path / "network.onnx", list(inputs), {})


# Likelihood


@pytest.mark.parametrize("shape", [(4,), (20,)], ids=["exact divergence", "Hutchinson's estimate"])
def test_likelihood_of_a_gaussian(shape: tuple[int, ...]) -> None:
    """The field is linear with a diagonal matrix, of which Hutchinson's estimate with signs is exact."""
    spec = Spec.of("points", shape)
    x = gaussian(50, spec)
    expected = -Normal(MEAN, DEVIATION).log_prob(x).sum(1).double()
    nll, count = exact(spec).tight_nll({"x": x})
    torch.testing.assert_close(nll, expected, rtol=0, atol=1e-3 * shape[0])
    assert count.tolist() == [shape[0]] * 50
    assert (exact(spec).nll({"x": x})[0] - expected).abs().max() < 0.02 * shape[0]


@pytest.mark.parametrize("levels", [2, 256])
def test_likelihood_of_levels_is_their_probability(levels: int) -> None:
    """Nats of a level are the mean over it of -log(density * width)."""
    spec = Spec({"x": Field("image", (1, 3, 3), "uint8", levels=levels)})
    width = 2 / (levels - 1)
    x = spec.x.to_model(torch.full((2000, 1, 3, 3), 255, dtype=torch.uint8))
    within = 1 + width * (torch.linspace(0, 1, 1001) - 0.5)
    expected = -9 * (Normal(MEAN, DEVIATION).log_prob(within).mean() + math.log(width))
    nll, _ = exact(spec, likelihood_steps=16).tight_nll({"x": x})
    assert nll.mean().item() == pytest.approx(expected.item(), abs=0.1)


def test_samples_of_two_levels_have_these_alone() -> None:
    spec = Spec({"x": Field("image", (1, 3, 3), "uint8", levels=2)})
    assert set(exact(spec).sample(range(20)).unique().tolist()) == {-1.0, 1.0}


def test_likelihood_is_the_same_each_time(trained: Flow) -> None:
    batch = batch_of("test", slice(20))
    nll, count = trained.tight_nll(batch)
    assert torch.equal(nll, trained.tight_nll(batch)[0])
    assert count.tolist() == [64] * 20
    first = {name: rows[:5] for name, rows in batch.items()}
    torch.testing.assert_close(trained.tight_nll(first)[0], nll[:5], rtol=0, atol=1e-2)
    assert trained.bound == "probability-flow ODE, 8 steps of Heun, uniform dequantisation"
