"""Likelihoods of pixels against their definitions and against torch.distributions."""

import math

import pytest
import torch
from torch.distributions import Bernoulli as TorchBernoulli

from src.data.spec import Field, Spec
from src.networks.pixel_likelihoods import LOG_SCALE, Bernoulli, DiscretisedLogistics, PixelDecoder, log_discretised_logistic

LEVELS = torch.arange(256).double() / 127.5 - 1  # [256], what `from_uint8` gives but for its rounding


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


@pytest.mark.parametrize("mixtures", [1, 3])
def test_a_mixture_is_the_sum_of_its_components(mixtures: int) -> None:
    pixels = DiscretisedLogistics(mixtures)
    h = torch.randn(4, pixels.numbers, 2, 3, 5, dtype=torch.float64)
    x = LEVELS[torch.randint(256, (4, 2, 3, 5))]
    location, log_scale = h[:, :mixtures], h[:, mixtures : 2 * mixtures] + LOG_SCALE
    weights = h[:, 2 * mixtures :].softmax(1) if mixtures > 1 else torch.ones(1, dtype=torch.float64)
    p = (weights * log_discretised_logistic(x[:, None], location, log_scale).exp()).sum(1)
    torch.testing.assert_close(pixels.log_prob(x, h), p.log().flatten(1).sum(1))
    typical = pixels.typical(h)
    likely = weights.expand_as(location).argmax(1, keepdim=True)
    torch.testing.assert_close(typical, location.gather(1, likely).squeeze(1).clamp(-1, 1))
    assert (typical.shape, typical.abs().max() <= 1) == ((4, 2, 3, 5), True)


def test_bernoulli_is_torchs() -> None:
    pixels, h = Bernoulli(), torch.randn(4, 1, 2, 3, 5)
    white = torch.rand(4, 2, 3, 5) < 0.5
    theirs = TorchBernoulli(logits=h[:, 0])
    x = torch.where(white, 1.0, -1.0)
    torch.testing.assert_close(pixels.log_prob(x, h), theirs.log_prob(white.float()).flatten(1).sum(1))
    torch.testing.assert_close(pixels.typical(h), 2 * theirs.mean - 1)


def test_the_likelihood_is_the_datas() -> None:
    def decoder(levels: int, mixtures: int = 1, dtype: str = "uint8") -> PixelDecoder:
        return PixelDecoder(Spec({"x": Field("image", (1, 4, 4), dtype, levels=levels)}), mixtures)

    assert isinstance(decoder(2).pixels, Bernoulli)
    assert isinstance(decoder(256).pixels, DiscretisedLogistics)
    with pytest.raises(ValueError, match="take mixtures=1"):
        decoder(2, mixtures=2)
    with pytest.raises(ValueError, match="mixtures=0"):
        decoder(256, mixtures=0)
    with pytest.raises(ValueError, match="take image data"):
        decoder(256, dtype="float32")
