"""The interface of both pairs of networks, fully connected and convolutional."""

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.distributions import Normal, kl_divergence

from src.data.pixels import from_uint8
from src.data.spec import Field, Spec
from src.models.vae import kl_to_standard_normal
from src.networks.conv_vae import ConvVAE
from src.networks.vae import MLPVAE

CLASSES = Field("class", (), "int64", tuple("abc"))
SQUARE = [
    Spec({"x": Field("image", shape, "uint8", levels=n), "y": CLASSES}) for shape in ((1, 8, 8), (3, 64, 64)) for n in (2, 256)
]
OTHER = Spec.of("image", (2, 9, 16), tuple("abc"))
Make = Callable[..., nn.Module]


def mlp(spec: Spec, conditional: bool = False, **settings: int) -> nn.Module:
    return MLPVAE(spec, z_dim=5, widths=[8, 6], conditional=conditional, **settings)  # type: ignore[arg-type]


def conv(spec: Spec, conditional: bool = False, **settings: int) -> nn.Module:
    return ConvVAE(spec, z_dim=5, width=2, conditional=conditional, **settings)


NETWORKS = [*((mlp, spec) for spec in (*SQUARE, OTHER)), *((conv, spec) for spec in SQUARE)]


@pytest.mark.parametrize(("make", "spec"), NETWORKS)
@pytest.mark.parametrize("conditional", [False, True])
def test_sizes_come_from_the_spec(make: Make, spec: Spec, conditional: bool) -> None:
    network = make(spec, conditional=conditional)
    y = torch.tensor([0, 1, 2, 0]) if conditional else None
    x = from_uint8(torch.randint(spec.x.levels, (4, *spec.shape)).mul(255 // (spec.x.levels - 1)).to(torch.uint8))
    mean, log_variance = network.encoder(x, y)
    assert mean.shape == log_variance.shape == (4, 5)
    images = network.decoder(10 * mean, y)
    assert images.shape == x.shape
    assert images.abs().max() <= 1
    log_p = network.decoder.log_likelihood(x, mean, y)
    assert log_p.shape == (4,)
    assert (network.decoder.z_dim, network.decoder.classes) == (5, 3 if conditional else 0)
    log_p.sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize("make", [mlp, conv])
def test_the_class_reaches_both_networks(make: Make) -> None:
    network, x, z = make(SQUARE[1], conditional=True), torch.zeros(1, 1, 8, 8), torch.zeros(1, 5)
    a, b = torch.tensor([0]), torch.tensor([2])
    assert not torch.equal(network.encoder(x, a)[0], network.encoder(x, b)[0])
    assert not torch.equal(network.decoder.parameters_of(z, a), network.decoder.parameters_of(z, b))


@pytest.mark.parametrize("make", [mlp, conv])
def test_mixtures_have_three_numbers_for_each_component(make: Make) -> None:
    h = make(SQUARE[3], mixtures=2).decoder.parameters_of(torch.zeros(4, 5))
    assert h.shape == (4, 6, 3, 64, 64)


def test_a_residual_block_starts_as_the_identity() -> None:
    network = ConvVAE(SQUARE[1], width=2, blocks=1).encoder.layers
    x = torch.rand(3, 2, 4, 4)
    assert torch.equal(network[1](x), x)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="take image data"):
        mlp(Spec.of("points", (2,)))
    with pytest.raises(ValueError, match="has no classes"):
        mlp(Spec.of("image", (1, 8, 8)), conditional=True)
    with pytest.raises(ValueError, match="activation=silu: must be one of relu, tanh"):
        MLPVAE(OTHER, activation="silu")
    with pytest.raises(ValueError, match="needs square images"):
        conv(OTHER)


def test_priors_of_classes_are_a_change_of_variables() -> None:
    """KL(q(u | x, y) || p(u | y)) is KL(q(z | x, y) || N(0, I)), and the decoder turns z into u again."""
    network = mlp(OTHER, conditional=True)
    prior = network.encoder.prior
    assert prior is network.decoder.prior
    nn.init.normal_(prior.mean)
    nn.init.normal_(prior.log_scale)
    mean, log_variance, y = torch.randn(4, 5), torch.randn(4, 5), torch.tensor([0, 1, 2, 1])
    expected = kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(prior.mean[y], prior.log_scale[y].exp()))
    z_mean, z_log_variance = prior.standardise(mean, log_variance, y)
    torch.testing.assert_close(kl_to_standard_normal(z_mean, z_log_variance), expected)
    torch.testing.assert_close(prior(z_mean, y), mean)
    assert mlp(OTHER).encoder.prior(mean, None) is mean
