"""The likelihood of 256 levels against its definition, and the two networks' interface."""

import math

import pytest
import torch

from src.data.pixels import from_uint8
from src.data.spec import Spec
from src.networks.vae import MLPVAE, log_discretised_logistic

LEVELS = torch.arange(256).double() / 127.5 - 1  # [256], what `from_uint8` gives but for its rounding
SPECS = [Spec.of("image", shape, tuple("abc")) for shape in ((1, 8, 8), (3, 64, 64), (2, 9, 16))]


@pytest.mark.parametrize("location", [-1.5, -1.0, 0.1, 3.0])
@pytest.mark.parametrize("log_scale", [-7.0, -3.0, 1.0])
def test_probabilities_of_all_levels_sum_to_one(location: float, log_scale: float) -> None:
    p = log_discretised_logistic(LEVELS, torch.tensor(location), torch.tensor(log_scale, dtype=torch.float64)).exp()
    assert p.sum().item() == pytest.approx(1, abs=1e-9)


def test_levels_by_hand() -> None:
    """Location 0, scale 1 / 255: level k has its borders at 2 k - 256 and 2 k - 254, the first and last have one each."""

    def sigma(x: float) -> float:
        return 1 / (1 + math.exp(-x))

    p = log_discretised_logistic(LEVELS, torch.tensor(0.0), torch.tensor(-math.log(255), dtype=torch.float64))
    assert p[128].item() == pytest.approx(math.log(sigma(2) - sigma(0)), abs=1e-6)
    assert p[127].item() == pytest.approx(math.log(sigma(0) - sigma(-2)), abs=1e-6)
    assert p[0].item() == pytest.approx(-254, abs=1e-6)  # log sigma(-254)
    assert p[255].item() == pytest.approx(-254, abs=1e-6)  # log (1 - sigma(254))


def test_black_and_white_are_certain_beyond_the_ends() -> None:
    x = LEVELS[[0, 255]].float()
    p = log_discretised_logistic(x, torch.tensor([-1.5, 1.5]), torch.tensor(-4.0))
    torch.testing.assert_close(p, torch.zeros(2), atol=1e-6, rtol=0)
    assert log_discretised_logistic(x.flip(0), torch.tensor([-1.5, 1.5]), torch.tensor(-4.0)).max() < -100


def test_gradients_are_finite_far_from_the_pixel() -> None:
    location = torch.linspace(-20, 20, 256).requires_grad_()
    log_scale = torch.full((256,), -7.0).requires_grad_()
    p = log_discretised_logistic(LEVELS.float(), location, log_scale)
    p.sum().backward()
    assert all(torch.isfinite(x).all() for x in (p, location.grad, log_scale.grad))


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("conditional", [False, True])
def test_sizes_come_from_the_spec(spec: Spec, conditional: bool) -> None:
    network = MLPVAE(spec, z_dim=5, widths=[8, 6], conditional=conditional)
    y = torch.tensor([0, 1, 2, 0]) if conditional else None
    x = from_uint8(torch.randint(256, (4, *spec.shape)).to(torch.uint8))
    mean, log_variance = network.encoder(x, y)
    assert mean.shape == log_variance.shape == (4, 5)
    images = network.decoder(10 * mean, y)
    assert images.shape == x.shape
    assert images.abs().max() <= 1
    assert network.decoder.log_likelihood(x, mean, y).shape == (4,)
    assert (network.decoder.z_dim, network.decoder.classes) == (5, 3 if conditional else 0)


def test_the_class_reaches_both_networks() -> None:
    network, x, z = MLPVAE(SPECS[0], z_dim=5, widths=[8], conditional=True), torch.zeros(1, 1, 8, 8), torch.zeros(1, 5)
    a, b = torch.tensor([0]), torch.tensor([2])
    assert not torch.equal(network.encoder(x, a)[0], network.encoder(x, b)[0])
    assert not torch.equal(network.decoder.location(z, a), network.decoder.location(z, b))


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="take image data"):
        MLPVAE(Spec.of("points", (2,)))
    with pytest.raises(ValueError, match="has no classes"):
        MLPVAE(Spec.of("image", (1, 8, 8)), conditional=True)
