import pytest
import torch

from src.data.spec import Spec
from src.networks.mlp import MLPDiscriminator, MLPGenerator

MNIST, DIGITS = Spec.of("image", (1, 28, 28)), Spec.of("image", (1, 8, 8))


def count(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_the_listings_networks() -> None:
    """100-256-128-784 and 784-256-128-1 without a bias."""
    generator, discriminator = MLPGenerator(MNIST, bias=False), MLPDiscriminator(MNIST, bias=False)
    assert count(generator) == 100 * 256 + 256 * 128 + 128 * 784
    assert count(discriminator) == 784 * 256 + 256 * 128 + 128
    assert count(MLPGenerator(MNIST)) - count(generator) == 256 + 128 + 784


@pytest.mark.parametrize("spec", [MNIST, DIGITS, Spec.of("image", (3, 32, 32))])
def test_sizes_come_from_the_spec(spec: Spec) -> None:
    images = MLPGenerator(spec, z_dim=7, widths=[5], batch_norm=True)(torch.randn(4, 7))
    assert images.shape == (4, *spec.shape)
    assert images.abs().max() <= 1
    assert MLPDiscriminator(spec, widths=[5, 6, 7])(images).shape == (4,)


def test_without_biases_the_background_cannot_be_black() -> None:
    """The fifth fault of the listing: zero in, zero (grey) out; and an odd-symmetric network cannot prefer black."""
    assert MLPGenerator(MNIST, bias=False)(torch.zeros(1, 100)).abs().max() == 0
    assert MLPGenerator(MNIST)(torch.zeros(1, 100)).abs().max() > 0


def test_dropout_is_off_in_evaluation() -> None:
    discriminator = MLPDiscriminator(DIGITS, dropout=0.5)
    x = torch.randn(4, 1, 8, 8)
    assert not torch.equal(discriminator(x), discriminator(x))
    discriminator.eval()
    assert torch.equal(discriminator(x), discriminator(x))
