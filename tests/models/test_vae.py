"""The evidence lower bound against closed forms, and what a VAE can do."""

from functools import partial
from typing import Any

import pytest
import torch
from torch import nn
from torch.distributions import Normal, kl_divergence

from src.data.digits import Digits
from src.data.loader import Blocks
from src.data.spec import Batch, Spec
from src.models.capabilities import Encodes, Interpolates, Likelihood, Samples
from src.models.vae import VAE, kl_to_standard_normal
from src.networks.vae import MLPVAE
from src.training import rng
from src.training.ema import EMA

DATA = Digits()
TRAIN = DATA.split("train")


def make(conditional: bool = False, **changes: Any) -> VAE:
    rng.seed_layers(0, -1)
    settings: dict[str, Any] = {
        "spec": DATA.spec,
        "seed": 3,
        "network": partial(MLPVAE, z_dim=4, widths=[64], conditional=conditional),
        "optimizer": partial(torch.optim.Adam, lr=3e-3),
        "ema": partial(EMA, half_life=1000),
    }
    return VAE(**settings | changes)


def fit(model: VAE, stop: int, batch_size: int = 64) -> VAE:
    optimizers = model.configure_optimizers()
    while model.step < stop:
        for index in Blocks(len(TRAIN), batch_size, seed=3, at=lambda: model.step, stop=stop):
            model.train_on({name: torch.from_numpy(rows) for name, rows in TRAIN.batch(index).items()}, optimizers)
    return model


def batch_of(split: str, rows: slice = slice(None)) -> Batch:
    part = DATA.split(split)
    return DATA.spec.to_model({name: torch.from_numpy(part[name][rows].copy()) for name in ("x", "y")})


@pytest.fixture(scope="module")
def trained() -> VAE:
    return fit(make(conditional=True), stop=150)


def test_kl_by_hand_and_by_torch() -> None:
    mean, log_variance = torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 1.0]]), torch.tensor([[0.0, 0.0], [0.0, 0.0], [0.0, 1.0]])
    # 0; 2^2 / 2; (1^2 + e - 1 - 1) / 2
    torch.testing.assert_close(kl_to_standard_normal(mean, log_variance), torch.tensor([0.0, 2.0, (torch.e - 1) / 2]))
    mean, log_variance = torch.randn(5, 3), torch.randn(5, 3)
    q = Normal(mean, (log_variance / 2).exp())
    torch.testing.assert_close(kl_to_standard_normal(mean, log_variance), kl_divergence(q, Normal(0.0, 1.0)).sum(1))


class Linear(nn.Module):
    """x = a z + s noise with one latent and one pixel, whose exact posterior and likelihood are Gaussian."""

    a, s = 1.5, 0.5

    def __init__(self, spec: Spec, shift: float = 0.0) -> None:
        super().__init__()
        self.shift, self.unused = shift, nn.Parameter(torch.zeros(1))
        self.z_dim = 1
        self.variance = 1 / (1 + self.a**2 / self.s**2)  # of p(z | x)

    @property
    def decoder(self) -> nn.Module:
        return self

    def encoder(self, x: torch.Tensor, y: Any) -> tuple[torch.Tensor, torch.Tensor]:
        mean = self.variance * self.a / self.s**2 * x.flatten(1) + self.shift
        return mean, torch.full_like(mean, self.variance).log()

    def log_likelihood(self, x: torch.Tensor, z: torch.Tensor, y: Any) -> torch.Tensor:
        return Normal(self.a * z, self.s).log_prob(x.flatten(1)).sum(1)


@pytest.mark.parametrize("shift", [0.0, 0.4])
def test_elbo_of_a_linear_gaussian_model_is_below_its_likelihood(shift: float) -> None:
    """log p(x) = log N(x; 0, a^2 + s^2); the gap is KL(q || p(z | x)) = shift^2 / (2 variance)."""
    model = make(spec=Spec.of("points", (1,)), network=partial(Linear, shift=shift), ema=None)
    x = torch.tensor([[0.7]]).expand(4_000, 1)
    exact = -Normal(0.0, (Linear.a**2 + Linear.s**2) ** 0.5).log_prob(x[0]).item()
    gap = shift**2 / (2 * model.learner.variance)
    bound = model.loss({"x": x}).mean().item()
    assert bound == pytest.approx(exact + gap, abs=0.1)
    assert bound > exact - 0.1
    assert shift == 0 or bound > exact + 0.5
    nll, count = model.nll({"x": x})
    assert nll.mean().item() == pytest.approx(exact + gap, abs=0.1)
    assert count.tolist() == [1] * len(x)


def test_the_loss_is_the_two_terms_with_the_noise_of_its_step() -> None:
    model, batch = make(beta=0.5), batch_of("train", slice(32))
    loss = model.loss(batch)
    assert loss.shape == (32,)
    mean, log_variance = model.learner.encoder(batch["x"])
    z = mean + (log_variance / 2).exp() * torch.randn(32, 4, generator=rng.generator(3, "posterior", 0))
    expected = 0.5 * kl_to_standard_normal(mean, log_variance) - model.learner.decoder.log_likelihood(batch["x"], z)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(loss, model.loss(batch), rtol=0, atol=0)
    model.step = 1
    assert not torch.equal(loss, model.loss(batch))


def test_training_lowers_the_bound_on_unseen_digits(trained: VAE) -> None:
    batch = batch_of("test")
    before, after = make(conditional=True).nll(batch)[0].mean(), trained.nll(batch)[0].mean()
    assert after < before - 20
    assert set(trained.scalars()) == {"loss", "loss/reconstruction", "loss/kl"}
    assert trained.scalars()["loss/kl"] > 1


def test_the_class_is_used(trained: VAE) -> None:
    batch = batch_of("test")
    shuffled = batch | {"y": batch["y"].roll(1)}
    assert trained.nll(shuffled)[0].mean() > trained.nll(batch)[0].mean() + 1


def test_bound_is_the_same_each_time_and_counts_pixels(trained: VAE) -> None:
    batch = batch_of("test", slice(20))
    nll, count = trained.nll(batch)
    assert torch.equal(nll, trained.nll(batch)[0])
    assert (nll.shape, count.tolist()) == ((20,), [64] * 20)
    first = {name: rows[:5] for name, rows in batch.items()}
    torch.testing.assert_close(trained.nll(first)[0], nll[:5])
    assert not torch.equal(nll, trained.nll(batch, weights="raw")[0])


@pytest.mark.parametrize("conditional", [False, True])
def test_samples_depend_on_their_seed_and_class_alone(conditional: bool) -> None:
    model = fit(make(conditional), stop=3)
    many = model.sample(range(200))
    assert many.shape == (200, 1, 8, 8)
    assert many.abs().max() <= 1
    assert torch.equal(many[[150, 7]], model.sample([150, 7]))
    assert model.classes == (10 if conditional else 0)
    assert all(isinstance(model, capability) for capability in (Samples, Interpolates, Encodes, Likelihood))
    assert model.interpolate(2, 3, seed=0).shape == (2, 3, 1, 8, 8)


def test_decoding_an_encoding_is_near_the_image(trained: VAE) -> None:
    batch = batch_of("test")
    z = trained.encode(batch)
    assert (z.shape, z.requires_grad) == ((300, 4), False)
    error = (trained.decode(z, {"y": batch["y"]}) - batch["x"]).abs().mean()
    other = (trained.decode(z.roll(1, 0), {"y": batch["y"]}) - batch["x"]).abs().mean()
    assert error < 0.8 * other
