import pytest
import torch
from torch import nn

from src.data.spec import Spec
from src.networks.sngan import SNGANDiscriminator, SNGANGenerator

CIFAR = Spec.of("image", (3, 32, 32))


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_the_papers_networks_for_cifar_10() -> None:
    """Miyato et al. 2018, table 4; the same numbers of weights as in mimicry's sngan_32 (Lee and Town 2020)."""
    conv, shortcut = 256 * 256 * 9 + 256, 256 * 256 + 256
    block = 2 * conv + shortcut + 2 * 2 * 256
    assert count(SNGANGenerator(CIFAR)) == 128 * 4096 + 4096 + 3 * block + 2 * 256 + 256 * 3 * 9 + 3 == 4_276_739
    conv, shortcut = 128 * 128 * 9 + 128, 128 * 128 + 128
    first = 3 * 128 * 9 + 128 + conv + 3 * 128 + 128
    assert count(SNGANDiscriminator(CIFAR)) == first + 2 * conv + shortcut + 4 * conv + 128 + 1 == 1_053_825


def test_the_features_are_summed_over_the_positions() -> None:
    """Rectified features of a known network, the identity: the logit is weight . sum + bias."""
    network = SNGANDiscriminator(CIFAR, width=3).double().eval()
    network.blocks = nn.Identity()
    x = torch.randn(5, 3, 4, 4, dtype=torch.float64)
    weight = network.head.parametrizations.weight.original[0]
    expected = x.clamp(min=0).sum((2, 3)) @ (weight / weight.norm()) + network.head.bias
    assert torch.allclose(network(x), expected, rtol=1e-5)  # singular vectors of float32


def test_the_generator_starts_at_4_or_7() -> None:
    for side, start in [(8, 4), (28, 7), (32, 4)]:
        assert SNGANGenerator(Spec.of("image", (1, side, side)), z_dim=5, width=8).project.weight.shape == (8 * start**2, 5)


def test_labels_are_ignored() -> None:
    generator = SNGANGenerator(Spec.of("image", (1, 8, 8), ("a", "b")), width=8).eval()
    z = torch.randn(2, 128)
    assert torch.equal(generator(z), generator(z, torch.tensor([0, 1])))
