import pytest
import torch
from torch import nn

from src.data.spec import Spec
from src.networks.cgan_pd import CGANPDDiscriminator, CGANPDGenerator

CIFAR = Spec.of("image", (3, 32, 32), tuple("0123456789"))
DIGITS = Spec.of("image", (1, 8, 8), ("a", "b", "c"))


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_the_papers_networks_for_cifar_10() -> None:
    """SNGAN's, with a gain and a bias for each of ten classes in six batch norms, and ten embeddings of 128."""
    assert count(CGANPDGenerator(CIFAR)) == 4_276_739 + 6 * (10 - 1) * 2 * 256 == 4_304_387
    assert count(CGANPDDiscriminator(CIFAR)) == 1_053_825 + 10 * 128 == 1_055_105


def test_the_logit_is_linear_in_the_features_plus_the_projection() -> None:
    """Figure 1d: psi(phi) + <v_y, phi>, V divided by its largest singular value; phi of a known network, the identity."""
    network = CGANPDDiscriminator(DIGITS, width=4).double().eval()
    network.blocks = nn.Identity()
    x, y = torch.randn(5, 4, 2, 2, dtype=torch.float64), torch.tensor([2, 0, 1, 1, 2])
    phi = x.clamp(min=0).sum((2, 3))
    head, table = network.head.parametrizations.weight.original[0], network.embedding.parametrizations.weight.original
    projection = (table / torch.linalg.svdvals(table)[0])[y]
    expected = phi @ (head / head.norm()) + network.head.bias + (phi * projection).sum(1)
    assert torch.allclose(network(x, y), expected, rtol=1e-3)


def test_the_classes_start_alike_and_part_with_their_batch_norms() -> None:
    generator = CGANPDGenerator(DIGITS, width=8).eval()
    z = torch.randn(1, 128).expand(3, -1)
    images = generator(z, torch.tensor([0, 1, 2]))
    assert torch.allclose(images[0], images[1], atol=1e-6)
    assert torch.allclose(images[0], images[2], atol=1e-6)
    nn.init.ones_(generator.blocks[0].norm1.bias.weight[1])
    moved = generator(z, torch.tensor([0, 1, 2]))
    assert torch.allclose(moved[[0, 2]], images[[0, 2]], atol=1e-6)
    assert not torch.allclose(moved[1], images[1], atol=1e-3)
