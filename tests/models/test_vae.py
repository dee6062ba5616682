"""Bounds of the likelihood against closed forms, and what a VAE can do."""

from functools import partial
from typing import Any

import pytest
import torch
from torch import nn
from torch.distributions import Normal, kl_divergence

from src.data.digits import Digits
from src.data.loader import Blocks
from src.data.spec import Batch, Field, Spec
from src.models import vae
from src.models.capabilities import BoundsLikelihood, Encodes, Interpolates, Reconstructs, Samples, Traverses, Unfolds
from src.models.latent import normal_per_seed
from src.models.vae import VAE, at_least, kl_to_standard_normal, log_weights
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
        "network": partial(MLPVAE, z_dim=4, widths=[64]),
        "conditional": conditional,
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
    torch.testing.assert_close(kl_to_standard_normal(mean, log_variance).sum(1), torch.tensor([0.0, 2.0, (torch.e - 1) / 2]))
    mean, log_variance = torch.randn(5, 3), torch.randn(5, 3)
    q = Normal(mean, (log_variance / 2).exp())
    torch.testing.assert_close(kl_to_standard_normal(mean, log_variance), kl_divergence(q, Normal(0.0, 1.0)))


class Linear(nn.Module):
    """x = a z + s noise with one latent and one pixel, whose exact posterior and likelihood are Gaussian."""

    a, s = 1.5, 0.5

    def __init__(self, spec: Spec, shift: float = 0.0, conditional: bool = False) -> None:
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


EXACT = -Normal(0.0, (Linear.a**2 + Linear.s**2) ** 0.5).log_prob(torch.tensor(0.7)).item()  # of x = 0.7


def linear(shift: float, **changes: Any) -> VAE:
    return make(spec=Spec.of("points", (1,)), network=partial(Linear, shift=shift), ema=None, **changes)


@pytest.mark.parametrize("shift", [0.0, 0.4])
def test_elbo_of_a_linear_gaussian_model_is_below_its_likelihood(shift: float) -> None:
    """log p(x) = log N(x; 0, a^2 + s^2); the gap is KL(q || p(z | x)) = shift^2 / (2 variance)."""
    model, x = linear(shift), torch.full((4_000, 1), 0.7)
    gap = shift**2 / (2 * model.learner.variance)
    bound = model.loss({"x": x}).mean().item()
    assert bound == pytest.approx(EXACT + gap, abs=0.1)
    assert bound > EXACT - 0.1
    assert shift == 0 or bound > EXACT + 0.5
    nll, count = model.nll({"x": x})
    assert nll.mean().item() == pytest.approx(EXACT + gap, abs=0.1)
    assert count.tolist() == [1] * len(x)


def test_iwae_goes_from_the_elbo_to_the_likelihood() -> None:
    """Burda et al. 2016, theorem 1: the bound is tighter for a larger K. For the exact posterior, every weight is p(x)."""
    x = torch.full((2_000, 1), 0.7)
    bounds = [linear(0.4, importance_samples=k).loss({"x": x}).mean().item() for k in (1, 3, 10, 100)]
    assert bounds[0] > bounds[1] + 0.2
    assert bounds[1] > bounds[2] + 0.1
    assert bounds[2] > bounds[3] > EXACT
    model = linear(0.4, likelihood_samples=20_000)
    nll, count = model.tight_nll({"x": x[:20]})
    assert nll.mean().item() == pytest.approx(EXACT, abs=0.01)
    assert (nll.dtype, count.tolist(), model.bound) == (torch.float64, [1] * 20, "IWAE, K = 20000")
    exact = linear(0.0, importance_samples=7).loss({"x": x[:5]})
    torch.testing.assert_close(exact, torch.full((5,), EXACT))


def test_weights_by_torch() -> None:
    """log p(x, z) - log q(z | x), term by term."""
    model, batch = make(conditional=True), batch_of("train", slice(6))
    noise = torch.randn(6, 3, 4)
    log_w = log_weights(model.learner, batch, noise)
    mean, log_variance = model.learner.encoder(batch["x"], batch["y"])
    q = Normal(mean, (log_variance / 2).exp())
    for k in range(3):
        z = mean + q.stddev * noise[:, k]
        log_likelihood = model.learner.decoder.log_likelihood(batch["x"], z, batch["y"])
        expected = log_likelihood + Normal(0.0, 1.0).log_prob(z).sum(1) - q.log_prob(z).sum(1)
        torch.testing.assert_close(log_w[:, k], expected)


def test_chunks_do_not_change_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch = make(conditional=True, likelihood_samples=50), batch_of("test", slice(12))
    whole = model.tight_nll(batch)[0]
    assert torch.equal(whole, model.tight_nll(batch)[0])
    for latents in (1, 12 * 7, 10_000):
        monkeypatch.setattr(vae, "LATENTS", latents)
        torch.testing.assert_close(model.tight_nll(batch)[0], whole, rtol=1e-6, atol=0)
    first = {name: rows[:5] for name, rows in batch.items()}
    torch.testing.assert_close(model.tight_nll(first)[0], whole[:5], rtol=1e-6, atol=0)
    assert (whole < model.nll(batch)[0]).float().mean() > 0.5


def test_free_bits_by_hand() -> None:
    """Means over the batch of 0.3 and 2: the first is below 1 nat, so that its samples count 1 each and have no gradient."""
    divergence = torch.tensor([[0.2, 0.5], [0.4, 3.5]], requires_grad=True)
    free = at_least(divergence, 1.0)
    assert free.tolist() == [[1.0, 0.5], [1.0, 3.5]]
    free.sum().backward()
    assert divergence.grad.tolist() == [[0.0, 1.0], [0.0, 1.0]]

    batch = batch_of("train", slice(32))
    plain, model = make(), make(free_bits=0.5, beta=2.0)
    kl = kl_to_standard_normal(*plain.learner.encoder(batch["x"]))
    reconstruction = plain.loss(batch) - kl.sum(1)
    torch.testing.assert_close(model.loss(batch).mean(), reconstruction.mean() + 2 * kl.mean(0).clamp(min=0.5).sum())


def test_the_iwae_objective_has_no_kl_term() -> None:
    for settings in ({"beta": 2.0}, {"free_bits": 0.1}):
        with pytest.raises(ValueError, match="take beta=1 and free_bits=0"):
            make(importance_samples=2, **settings)
    model = fit(make(conditional=True, importance_samples=3), stop=60)
    assert set(model.scalars()) == {"loss"}
    assert model.nll(batch_of("test"))[0].mean() < make(conditional=True).nll(batch_of("test"))[0].mean() - 20


def test_the_loss_is_the_two_terms_with_the_noise_of_its_step() -> None:
    model, batch = make(beta=0.5), batch_of("train", slice(32))
    loss = model.loss(batch)
    assert loss.shape == (32,)
    mean, log_variance = model.learner.encoder(batch["x"])
    z = mean + (log_variance / 2).exp() * torch.randn(32, 4, generator=rng.generator(3, "posterior", 0))
    expected = 0.5 * kl_to_standard_normal(mean, log_variance).sum(1) - model.learner.decoder.log_likelihood(batch["x"], z)
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
    assert trained.loss(shuffled).mean() > trained.loss(batch).mean() + 1
    with pytest.raises(ValueError, match="conditional=false"):
        make(conditional=True, spec=Spec.of("image", (1, 8, 8)))


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
    assert model.interpolate(2, 3, seed=0).shape == (2, 3, 1, 8, 8)


def test_decoding_an_encoding_is_near_the_image(trained: VAE) -> None:
    batch = batch_of("test")
    z = trained.encode(batch)
    assert (z.shape, z.requires_grad) == ((300, 4), False)
    error = (trained.decode(z, {"y": batch["y"]}) - batch["x"]).abs().mean()
    other = (trained.decode(z.roll(1, 0), {"y": batch["y"]}) - batch["x"]).abs().mean()
    assert error < 0.85 * other
    torch.testing.assert_close(trained.reconstruct(batch), trained.decode(z, {"y": batch["y"]}), rtol=0, atol=0)


def test_pixels_of_two_levels_are_drawn() -> None:
    """Samples are black and white, with the probabilities of the typical image, by the random numbers of their seed."""
    spec = Spec({"x": Field("image", (1, 8, 8), "uint8", levels=2)})
    model = make(spec=spec)
    many = model.sample(range(200))
    assert set(many.unique().tolist()) == {-1.0, 1.0}
    assert torch.equal(many[[150, 7]], model.sample([150, 7]))
    typical = model.decode(normal_per_seed(range(200), 4))
    assert 0 < typical.abs().max() < 1
    assert many.mean().item() == pytest.approx(typical.mean().item(), abs=4 * (200 * 64) ** -0.5)
    same = model.drawn(typical[:1].expand(4000, -1, -1, -1), range(4000))
    assert (same.mean(0) - typical[0]).abs().max() < 5 * 4000**-0.5
    frames = model.unfold(range(3), 4)
    assert torch.equal(frames[-1], many[:3])
    assert model.sample([]).shape == (0,)
    assert model.reconstruct({"x": many[:2]}).abs().max() < 1


def test_a_traversal_changes_the_most_active_coordinates_of_one_latent(trained: VAE, monkeypatch: pytest.MonkeyPatch) -> None:
    batch, seen = batch_of("test"), []
    monkeypatch.setattr(trained, "decode", lambda z, cond, weights: seen.append((z, cond)) or torch.zeros(len(z), 1, 8, 8))
    assert trained.traverse(batch, 3, 5, seed=12).shape == (3, 5, 1, 8, 8)
    ((z, cond),) = seen
    z, own = z.unflatten(0, (3, 5)), normal_per_seed([12], 4)[0]
    order = trained.encode(batch).var(0).argsort(descending=True)
    for row, coordinate in enumerate(order[:3].tolist()):
        assert z[row, :, coordinate].tolist() == [-3, -1.5, 0, 1.5, 3]
        others = [k for k in range(4) if k != coordinate]
        assert torch.equal(z[row][:, others], own[others].expand(5, 3))
    assert cond["y"].tolist() == [2] * 15
    trained.traverse(batch, 99, 2, seed=0, cond={"y": torch.tensor([7])})
    assert len(seen[-1][0]) == 4 * 2
    assert seen[-1][1]["y"].tolist() == [7] * 8


def test_capabilities() -> None:
    kinds = Samples, Interpolates, Encodes, Reconstructs, Traverses, Unfolds, BoundsLikelihood
    assert all(isinstance(make(), kind) for kind in kinds)
