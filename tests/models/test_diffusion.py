"""EDM's preconditioning, weights and steps by hand, and its equation for Gaussian data, whose denoiser has a closed form."""

import math
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Normal

from src.data.digits import Digits
from src.data.loader import Blocks
from src.data.spec import Batch, Spec
from src.models.capabilities import BoundsLikelihood, Exports, Interpolates, Samples, Unfolds
from src.models.diffusion import Diffusion
from src.models.latent import normal_per_seed
from src.networks.unet import UNet
from src.training import rng

DATA = Digits()
POINTS = Spec.of("points", (4,))
MEAN, DEVIATION, SIGMA_DATA = 0.5, 0.8, 0.5


class Exact(nn.Module):
    """The network for which D(x; sigma) = E[clean | x] for data from N(MEAN, DEVIATION^2 I), plus a constant error of F."""

    classes = 0

    def __init__(self, spec: Spec, conditional: bool, error: float = 0.0) -> None:
        super().__init__()
        self.error, self.unused = error, nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        sigma = torch.exp(4 * t).view(-1, *[1] * (x.dim() - 1))
        total = sigma**2 + SIGMA_DATA**2
        x = x * total.sqrt()
        denoised = MEAN + DEVIATION**2 / (DEVIATION**2 + sigma**2) * (x - MEAN)
        return (denoised - SIGMA_DATA**2 / total * x) / (sigma * SIGMA_DATA / total.sqrt()) + self.error + 0 * self.unused


class Answer(nn.Module):
    """Keeps what it was asked, and answers one number."""

    classes = 0

    def __init__(self, spec: Spec, conditional: bool, answer: float = 0.0) -> None:
        super().__init__()
        self.answer, self.unused = answer, nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        self.seen = x, t
        return torch.full_like(x, self.answer) + 0 * self.unused


def make(spec: Spec = POINTS, network: Any = Exact, **changes: Any) -> Diffusion:
    rng.seed_layers(0, -1)
    return Diffusion(spec, 3, network, partial(torch.optim.Adam, lr=3e-3), **changes)


def gaussian(rows: int, mean: float = MEAN, deviation: float = DEVIATION, size: int = 4) -> Tensor:
    return mean + deviation * torch.randn(rows, size, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def trained() -> Diffusion:
    model, split = (
        make(DATA.spec, partial(UNet, width=16, multipliers=[1, 2], blocks=1), conditional=True, nfe=7),
        DATA.split("train"),
    )
    optimizers = model.configure_optimizers()
    while model.step < 100:
        for index in Blocks(len(split), 64, seed=3, at=lambda: model.step, stop=100):
            model.train_on({name: torch.from_numpy(rows) for name, rows in split.batch(index).items()}, optimizers)
    return model


def batch_of(split: str) -> Batch:
    part = DATA.split(split)
    return DATA.spec.to_model({name: torch.from_numpy(part[name][:].copy()) for name in ("x", "y")})


def test_preconditioning_by_hand() -> None:
    """At sigma = sigma_data: c_skip = 1/2, c_out = c_in^-1 / 2 = sigma_data / sqrt 2, c_noise = ln(sigma) / 4."""
    model, x = make(network=partial(Answer, answer=0.3)), torch.randn(6, 4)
    found = model.denoise(model.learner, x, torch.full((6,), SIGMA_DATA), None)
    torch.testing.assert_close(found, x / 2 + 0.3 * SIGMA_DATA / math.sqrt(2))
    asked, noise = model.learner.seen  # type: ignore[misc]
    torch.testing.assert_close(asked, x / (SIGMA_DATA * math.sqrt(2)))
    torch.testing.assert_close(noise, torch.full((6,), math.log(SIGMA_DATA) / 4))


def test_preconditioning_in_the_limits() -> None:
    """Without noise the input is the answer, c_skip = 1; with noise alone the network's is, c_skip = 0, c_out = sigma_data."""
    model, x = make(network=partial(Answer, answer=1.0)), torch.randn(6, 4)
    torch.testing.assert_close(model.denoise(model.learner, x, torch.full((6,), 1e-6), None), x)
    noisy = model.denoise(model.learner, 1e4 * x, torch.full((6,), 1e4), None)
    torch.testing.assert_close(noisy, torch.full_like(x, SIGMA_DATA), rtol=1e-3, atol=1e-3)


def test_the_weighted_loss_is_one_at_every_sigma_at_first() -> None:
    """For a network of zeros and data of the standard deviation sigma_data: what table 1 is made for."""
    for mean in (-3.0, -1.2, 2.0):
        model = make(network=Answer, log_sigma_mean=mean, log_sigma_std=0.1)
        assert model.loss({"x": gaussian(20_000, 0.0, SIGMA_DATA)}).mean().item() == pytest.approx(1, abs=0.02)


def test_the_loss_is_least_at_the_exact_denoiser() -> None:
    """An error e of F raises it by e^2, because lambda(sigma) c_out(sigma)^2 = 1."""
    batch = {"x": gaussian(50_000)}
    losses = {error: make(network=partial(Exact, error=error)).loss(batch) for error in (-0.3, 0.0, 0.3)}
    assert losses[0.0].shape == (50_000,)
    for error in (-0.3, 0.3):
        assert (losses[error] - losses[0.0]).mean().item() == pytest.approx(error**2, abs=0.01)


def test_sigma_in_training_is_log_normal() -> None:
    model = make(network=Answer)
    model.loss({"x": gaussian(4000)})
    sigma = torch.exp(4 * model.learner.seen[1]).log().sort().values  # type: ignore[index]
    torch.testing.assert_close(sigma[[1000, 2000, 3000]], -1.2 + 1.2 * 0.6745 * torch.tensor([-1.0, 0, 1]), rtol=0, atol=5e-3)


def test_steps_of_equation_5() -> None:
    times = make().times(18)
    assert (len(times), times[0], times[-1]) == (19, pytest.approx(80), 0.0)
    assert times[17] == pytest.approx(0.002)
    assert times[1] == pytest.approx((80 ** (1 / 7) + (0.002 ** (1 / 7) - 80 ** (1 / 7)) / 17) ** 7)
    assert make().times(1) == [pytest.approx(80), 0.0]


def test_samples_follow_the_exact_map() -> None:
    """x(0) = MEAN + DEVIATION (x(sigma) - MEAN) / sqrt(DEVIATION^2 + sigma^2) at sigma = 80."""
    z = normal_per_seed(range(200), 4)
    expected = MEAN + DEVIATION * (80 * z - MEAN) / math.sqrt(DEVIATION**2 + 80**2)
    for solver, nfe, error in (("euler", 400, 5e-2), ("heun", 399, 2e-3), ("multistep", 400, 2e-3)):
        torch.testing.assert_close(make(nfe=nfe, solver=solver).sample(range(200)), expected, rtol=0, atol=error)


@pytest.mark.parametrize("size", [4, 20], ids=["exact divergence", "Hutchinson's estimate"])
def test_likelihood_of_a_gaussian(size: int) -> None:
    """x at sigma_min becomes z = (MEAN + (x - MEAN) stretch) / 80 at sigma_max, which the model takes for N(0, I)."""
    x = gaussian(50, size=size)
    stretch = math.sqrt((DEVIATION**2 + 80**2) / (DEVIATION**2 + 0.002**2))
    z = (MEAN + (x - MEAN) * stretch) / 80
    expected = -(Normal(0.0, 1.0).log_prob(z) + math.log(stretch / 80)).sum(1).double()
    nll, count = make(Spec.of("points", (size,)), likelihood_steps=64).tight_nll({"x": x})
    torch.testing.assert_close(nll, expected, rtol=0, atol=1e-3 * size)
    torch.testing.assert_close(expected, -Normal(MEAN, DEVIATION).log_prob(x).sum(1).double(), rtol=0, atol=0.02 * size)
    assert count.tolist() == [size] * 50


def test_samples_depend_on_their_seed_and_class_alone(trained: Diffusion) -> None:
    many = trained.sample(range(200), guidance=1.5)
    assert many.shape == (200, 1, 8, 8)
    assert torch.equal(many[[150, 7]], trained.sample([150, 7], guidance=1.5))
    film = trained.unfold(range(3), 9)
    assert torch.equal(film[-1], trained.sample(range(3)))
    assert film[0].std() < 3 * film[-1].std()  # noise of standard deviation 80 can be shown
    assert all(isinstance(trained, capability) for capability in (Samples, Interpolates, Unfolds, BoundsLikelihood, Exports))


def test_training_lowers_the_loss_and_uses_the_class(trained: Diffusion) -> None:
    batch = batch_of("test")
    trained.condition_dropout = 0.0
    with torch.no_grad():
        loss = trained.loss(batch).mean()
        untrained = make(DATA.spec, partial(UNet, width=16), conditional=True)
        assert loss < 0.7 * untrained.loss(batch).mean()
        assert trained.loss(batch | {"y": batch["y"].roll(1)}).mean() > 1.05 * loss
    trained.condition_dropout = 0.1


def test_the_equation_of_the_likelihood_is_that_of_the_samples() -> None:
    """u = x cos a: du/da = cos a dx/dsigma dsigma/da - x sin a, with the network's own error in it."""
    model = make(network=partial(Exact, error=0.2))
    x, s, (first, last) = torch.randn(5, 4), 0.4, model.angles
    angle = first + (last - first) * s**2
    slope = (
        model.velocity(model.learner, x, torch.full((5,), SIGMA_DATA * math.tan(angle)), None)
        * SIGMA_DATA
        / math.cos(angle) ** 2
    )
    expected = 2 * s * (last - first) * (math.cos(angle) * slope - math.sin(angle) * x)
    torch.testing.assert_close(model.likelihood_velocity(model.learner, math.cos(angle) * x, s, None), expected)
