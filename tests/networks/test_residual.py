"""The shared blocks, and what holds for all networks that are made of them."""

from collections.abc import Callable
from math import sqrt

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.data.spec import Spec
from src.networks.biggan import BigGANDiscriminator, BigGANGenerator
from src.networks.cgan_pd import CGANPDDiscriminator, CGANPDGenerator
from src.networks.residual import (
    ConditionalBatchNorm,
    DiscriminatorBlock,
    GeneratorBlock,
    add_spectral_norm,
    channels_at,
    discriminator_blocks,
    sides,
    xavier,
)
from src.networks.sngan import SNGANDiscriminator, SNGANGenerator

CLASSES = ("a", "b", "c")
DIGITS = Spec.of("image", (1, 8, 8), CLASSES)
SPECS = [DIGITS, *(Spec.of("image", shape, CLASSES) for shape in [(3, 16, 16), (1, 28, 28), (3, 32, 32), (3, 64, 64)])]
GENERATORS = [SNGANGenerator, CGANPDGenerator, BigGANGenerator]
DISCRIMINATORS = [SNGANDiscriminator, CGANPDDiscriminator, BigGANDiscriminator]
PAIRS = list(zip(GENERATORS, DISCRIMINATORS, strict=True))
LABELS = torch.tensor([0, 1, 2, 1, 0])


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def upsample(x: Tensor) -> Tensor:
    return x.repeat_interleave(2, 2).repeat_interleave(2, 3)


def pool(x: Tensor) -> Tensor:
    return (x[:, :, ::2, ::2] + x[:, :, 1::2, ::2] + x[:, :, ::2, 1::2] + x[:, :, 1::2, 1::2]) / 4


def test_sides() -> None:
    assert sides(Spec.of("image", (1, 8, 8))) == [4, 8]
    assert sides(Spec.of("image", (1, 28, 28))) == [7, 14, 28]
    assert sides(Spec.of("image", (3, 64, 64))) == [4, 8, 16, 32, 64]


@pytest.mark.parametrize("shape", [(2,), (1, 4, 4), (1, 7, 7), (1, 20, 20), (1, 30, 30), (1, 28, 32), (3, 32, 28), (32, 32)])
def test_sides_that_cannot_be_built(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="side 28 or 8, 16, 32, 64"):
        sides(Spec.of("image", shape))


def test_the_channels_halve_beyond_32() -> None:
    assert [channels_at(side, 256) for side in (4, 7, 28, 32, 64, 128)] == [256, 256, 256, 256, 128, 64]


def test_conditional_batch_norm() -> None:
    """Normalised over the batch and the positions, then a gain and a bias of the sample's own class."""
    norm = ConditionalBatchNorm(2, nn.Embedding(3, 2), nn.Embedding(3, 2)).double()
    x = torch.randn(5, 2, 3, 3, dtype=torch.float64) * 4 + 1
    mean, variance = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), keepdim=True, correction=0)
    gain, bias = norm.gain.weight[LABELS], norm.bias.weight[LABELS]
    expected = (x - mean) / (variance + 1e-5).sqrt() * (1 + gain[:, :, None, None]) + bias[:, :, None, None]
    assert torch.allclose(norm(x, LABELS), expected, rtol=1e-12)


def test_generator_block() -> None:
    """As the papers draw it: the shortcut is upsampled first, then convolved."""
    block = GeneratorBlock(2, 3, nn.BatchNorm2d).double().eval()
    x = torch.randn(4, 2, 5, 5, dtype=torch.float64)
    h = block.conv1(upsample(block.norm1(x).clamp(min=0)))
    h = block.conv2(block.norm2(h).clamp(min=0))
    assert torch.allclose(block(x), h + block.shortcut(upsample(x)), atol=1e-12)


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("downsample", [False, True])
def test_discriminator_block(first: bool, downsample: bool) -> None:
    """As the papers draw it: the shortcut is convolved first, then pooled; an image is not rectified."""
    block = DiscriminatorBlock(2, 3, downsample, first).double()
    x = torch.randn(4, 2, 6, 6, dtype=torch.float64)
    expected = block.conv2(block.conv1(x if first else x.clamp(min=0)).clamp(min=0)) + block.shortcut(x)
    assert torch.allclose(block(x), pool(expected) if downsample else expected, atol=1e-12)


def test_a_block_that_changes_nothing_has_no_weights_in_its_shortcut() -> None:
    assert [name for name, _ in DiscriminatorBlock(3, 3, False).named_parameters() if "shortcut" in name] == []


@pytest.mark.parametrize(("side", "expected"), [(8, [4] * 3), (16, [8] * 3), (28, [14, 7, 7, 7]), (64, [32, 16, 8, 8, 8])])
def test_the_discriminator_halves_to_at_most_8_and_adds_two_blocks(side: int, expected: list[int]) -> None:
    x, found = torch.zeros(1, 1, side, side), []
    for block in discriminator_blocks(Spec.of("image", (1, side, side)), 4):
        x = block(x)
        found.append(x.shape[2])
    assert found == expected
    assert x.shape[1] == 4


def test_xavier() -> None:
    """Uniform up to gain * sqrt(6 / (fan in + fan out)), and nearly up to there."""
    network = nn.Sequential(DiscriminatorBlock(8, 16, True), nn.Linear(50, 100))
    xavier(network)
    block, linear = network
    for layer, gain, fans in [
        (block.conv1, sqrt(2), 9 * (8 + 16)),
        (block.conv2, sqrt(2), 9 * (16 + 16)),
        (block.shortcut, 1, 8 + 16),
        (linear, 1, 50 + 100),
    ]:
        limit = gain * sqrt(6 / fans)
        assert 0.9 * limit < layer.weight.abs().max() <= limit
        assert 0.9 < layer.weight.std() / (limit / sqrt(3)) < 1.1
        assert layer.bias.abs().max() == 0


def test_spectral_norm() -> None:
    """The largest singular value of every weight is 1, whatever it was, and only the named kinds are touched."""
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Linear(5, 6), nn.Embedding(7, 8))
    raw = network[2].weight.clone()
    add_spectral_norm(network, (nn.Conv2d, nn.Linear))
    assert torch.equal(network[2].weight, raw)
    for _ in range(50):  # steps of the power iteration
        weights = [network[0].weight.flatten(1), network[1].weight]
    for weight in weights:
        assert torch.linalg.svdvals(weight)[0].item() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: str(spec.shape[-1]))
@pytest.mark.parametrize(("generator", "discriminator"), PAIRS)
def test_sizes_come_from_the_spec(
    spec: Spec, generator: Callable[..., nn.Module], discriminator: Callable[..., nn.Module]
) -> None:
    g, d = generator(spec, z_dim=6, width=8), discriminator(spec, width=8)
    images = g(torch.randn(5, g.z_dim), LABELS)
    assert images.shape == (5, *spec.shape)
    assert 0 < images.abs().max() <= 1
    assert d(images, LABELS).shape == (5,)
    assert g.classes == (0 if generator is SNGANGenerator else 3)


@pytest.mark.parametrize("network", [CGANPDGenerator, CGANPDDiscriminator, BigGANGenerator, BigGANDiscriminator])
def test_without_classes_a_conditional_network_says_so(network: Callable[..., nn.Module]) -> None:
    with pytest.raises(ValueError, match="no classes: take labelled data"):
        network(Spec.of("image", (1, 8, 8)), width=8)


@pytest.mark.parametrize("network", [*GENERATORS, *DISCRIMINATORS])
def test_gradients_reach_every_weight(network: Callable[..., nn.Module]) -> None:
    """In evaluation mode: in training, batch norm takes the biases before it out again."""
    net = open_attention(network(DIGITS, width=8)).eval()
    out = net(torch.randn(5, net.z_dim) if network in GENERATORS else torch.rand(5, 1, 8, 8) * 2 - 1, LABELS)
    (out * torch.randn_like(out)).sum().backward()
    assert [name for name, parameter in net.named_parameters() if not parameter.grad.abs().max() > 0] == []


@pytest.mark.parametrize("network", [*GENERATORS, *DISCRIMINATORS])
def test_in_evaluation_a_sample_is_a_function_of_its_own_input(network: Callable[..., nn.Module]) -> None:
    """Whatever else is in the batch, and however often it is asked."""
    net = open_attention(network(DIGITS, width=8)).double()
    x = torch.randn(5, *([net.z_dim] if network in GENERATORS else DIGITS.shape), dtype=torch.float64)
    net(x, LABELS)  # the statistics of batch norm move
    net.eval()
    out = net(x, LABELS)
    assert torch.equal(net(x, LABELS), out)
    assert torch.allclose(net(x[2:4], LABELS[2:4]), out[2:4], atol=1e-12)
    assert not torch.allclose(net(x[:2], LABELS[2:4]), out[2:4], atol=1e-3)


@pytest.mark.parametrize("network", DISCRIMINATORS)
def test_a_gradient_penalty_can_be_minimised(network: Callable[..., nn.Module]) -> None:
    """The second derivatives, against a difference of penalties along a random direction of all weights."""
    net = open_attention(network(DIGITS, width=8)).double().eval()
    x = (torch.rand(5, *DIGITS.shape, dtype=torch.float64) * 2 - 1).requires_grad_()

    def penalty() -> Tensor:
        (found,) = torch.autograd.grad(net(x, LABELS).sum(), x, create_graph=True)
        return found.square().sum()

    penalty().backward()
    directions = [torch.randn_like(parameter) for parameter in net.parameters()]
    slope = sum(
        (p.grad * direction).sum() for p, direction in zip(net.parameters(), directions, strict=True) if p.grad is not None
    )
    sides, step = [], 1e-7
    for move in (step, -2 * step):
        with torch.no_grad():
            for parameter, direction in zip(net.parameters(), directions, strict=True):
                parameter += move * direction
        sides.append(penalty().item())
    assert slope.item() != 0
    assert (sides[0] - sides[1]) / (2 * step) == pytest.approx(slope.item(), rel=1e-4)


@pytest.mark.parametrize("network", DISCRIMINATORS)
def test_spectral_norm_makes_the_scale_of_the_weights_immaterial(network: Callable[..., nn.Module]) -> None:
    net = open_attention(network(DIGITS, width=8)).double().eval()
    x = torch.randn(5, *DIGITS.shape, dtype=torch.float64)
    before = net(x, LABELS)
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if name.endswith("original"):
                parameter *= 3
    assert torch.allclose(net(x, LABELS), before, rtol=1e-9)
    assert all(name.endswith(("original", "bias", "gamma")) for name, _ in net.named_parameters())


def open_attention(net: nn.Module) -> nn.Module:
    """Attention starts as the identity: let it take part."""
    for name, parameter in net.named_parameters():
        if name.endswith("gamma"):
            nn.init.ones_(parameter)
    return net


def test_upsampling_repeats_pixels() -> None:
    x = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    rows = [[1.0, 1.0, 2.0, 2.0]] * 2 + [[3.0, 3.0, 4.0, 4.0]] * 2
    assert F.interpolate(x, scale_factor=2.0)[0, 0].tolist() == rows == upsample(x)[0, 0].tolist()
