import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, leaky_relu

from src.data.spec import Spec
from src.networks.r3gan import DiscriminativeBasis, GenerativeBasis, R3GANDiscriminator, R3GANGenerator, Residual

CLASSES = ("a", "b", "c")
DIGITS, MNIST, COLOUR = Spec.of("image", (1, 8, 8), CLASSES), Spec.of("image", (1, 28, 28)), Spec.of("image", (3, 32, 32))
SMALL = {"widths": (8, 6, 4, 4), "blocks": 1, "cardinality": (2, 2, 2, 2)}


def small(spec: Spec = DIGITS, conditional: bool = False) -> R3GANGenerator:
    torch.manual_seed(0)
    return awake(R3GANGenerator(spec, z_dim=5, conditional=conditional, **SMALL))  # type: ignore[arg-type]


def small_discriminator(spec: Spec = DIGITS, conditional: bool = False) -> R3GANDiscriminator:
    torch.manual_seed(0)
    return awake(R3GANDiscriminator(spec, conditional=conditional, **SMALL))  # type: ignore[arg-type]


def awake(network):  # type: ignore[no-untyped-def]
    """The same network with blocks that do something: their last weights, zero at first, and biases drawn at random."""
    for block in network.modules():
        if isinstance(block, Residual):
            for layer in block.layers[::2]:
                nn.init.normal_(layer.weight, std=0.3)
                if layer.bias is not None:
                    nn.init.normal_(layer.bias)
    return network


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_parameters_for_cifar_by_hand() -> None:
    """Eight blocks of 768 channels, 1536 within, in 96 groups of 16."""
    block = 2 * 768 * 1536 + 1536 * 16 * 9 + 2 * 1536
    labelled = Spec.of("image", (3, 32, 32), tuple("0123456789"))
    with torch.device("meta"):
        assert count(R3GANGenerator(COLOUR)) == 8 * block + 768 * 16 + 64 * 768 + 3 * 768 == 20_732_160
        assert count(R3GANDiscriminator(COLOUR)) == 8 * block + 768 * 16 + 768 + 3 * 768 == 20_683_776
        assert count(R3GANGenerator(labelled, conditional=True)) == 20_732_160 + 64 * 768 + 10 * 64
        assert count(R3GANDiscriminator(labelled, conditional=True)) == 20_683_776 + 767 * 768 + 10 * 768


def test_changing_widths_take_a_linear_layer() -> None:
    spec = Spec.of("image", (1, 16, 16))
    wide, changing = R3GANGenerator(spec, 5, (8, 8, 8), 1, (2, 2, 2)), R3GANGenerator(spec, 5, (8, 8, 4), 1, (2, 2, 2))
    blocks = [2 * w * 2 * w + 2 * w * w * 9 + 2 * 2 * w for w in (8, 4)]
    assert count(changing) - count(wide) == blocks[1] - blocks[0] + 8 * 4 - (8 - 4)


@pytest.mark.parametrize("spec", [DIGITS, MNIST, COLOUR, Spec.of("image", (3, 16, 16))])
def test_shapes(spec: Spec) -> None:
    images = small(spec)(torch.randn(3, 5))
    assert images.shape == (3, *spec.shape)
    assert small_discriminator(spec)(images).shape == (3,)


def test_too_few_stages() -> None:
    for network in (R3GANGenerator, R3GANDiscriminator):
        with pytest.raises(ValueError, match=r"side 64 need 5 stages.*\(here 4 and 4\)"):
            network(Spec.of("image", (3, 64, 64)))
        with pytest.raises(ValueError, match=r"\(here 4 and 1\)"):
            network(COLOUR, cardinality=(96,))


def test_only_the_lowest_stages_are_taken() -> None:
    """8 x 8 has two of the four: 8 channels at 4 x 4, 6 at 8 x 8."""
    widths = [layer.layers[0].in_channels for layer in small().layers if isinstance(layer, Residual)]
    assert widths == [8, 6]
    widths = [layer.layers[0].in_channels for layer in small_discriminator().layers if isinstance(layer, Residual)]
    assert widths == [6, 8]


def test_a_side_that_cannot_be_built() -> None:
    for network in (R3GANGenerator, R3GANDiscriminator):
        with pytest.raises(ValueError, match="side 28 or 8, 16, 32, 64"):
            network(Spec.of("image", (1, 12, 12)))
        with pytest.raises(ValueError, match="the data has no classes"):
            network(MNIST, conditional=True)


def test_no_normalisation_and_blocks_that_begin_as_nothing() -> None:
    torch.manual_seed(0)
    generator = R3GANGenerator(COLOUR, widths=(64, 64, 64, 64), cardinality=(8, 8, 8, 8))
    assert {type(layer) for layer in generator.modules() if not list(layer.children())} == {
        nn.Conv2d,
        nn.LeakyReLU,
        nn.Linear,
        type(generator.layers[3]),  # the filter
    }
    x = torch.randn(2, 64, 4, 4)
    block = generator.layers[1]
    assert torch.equal(block(x), x)
    gain = math.sqrt(2 / 1.04) * 8**-0.25  # eight blocks of three layers
    assert block.layers[0].weight.std().item() == pytest.approx(gain / math.sqrt(64), rel=0.05)
    assert block.layers[2].weight.std().item() == pytest.approx(gain / math.sqrt(16 * 9), rel=0.05)
    assert all(layer.bias.abs().max() == 0 for layer in block.layers[:3:2])


def test_signals_keep_their_scale_at_the_start() -> None:
    """Of one colour to the discriminator: its filters would take most of white noise away."""
    torch.manual_seed(0)
    settings = {"widths": (64, 64, 64, 64), "cardinality": (8, 8, 8, 8)}
    images = R3GANGenerator(COLOUR, **settings)(torch.randn(32, 64))  # type: ignore[arg-type]
    assert 0.3 < images.std() < 3
    x = torch.randn(32, 3, 1, 1).expand(-1, -1, 32, 32)
    assert 0.3 < R3GANDiscriminator(COLOUR, **settings)(x).std() < 3  # type: ignore[arg-type]


def test_block_by_hand() -> None:
    """Two groups, each of which sees its own channels only."""
    torch.manual_seed(0)
    block = awake(nn.Sequential(Residual(4, expansion=2, cardinality=2, depth=1)))[0].double()
    first, second, third = block.layers[::2]
    x = torch.randn(2, 4, 5, 5, dtype=torch.float64)
    y = torch.einsum("oi,bihw->bohw", first.weight[:, :, 0, 0], x) + first.bias[:, None, None]
    y = leaky_relu(y, 0.2)
    halves = [conv2d(y[:, 4 * g : 4 * g + 4], second.weight[4 * g : 4 * g + 4], padding=1) for g in range(2)]
    y = leaky_relu(torch.cat(halves, 1) + second.bias[:, None, None], 0.2)
    torch.testing.assert_close(block(x), x + torch.einsum("oi,bihw->bohw", third.weight[:, :, 0, 0], y))


def test_bases_by_hand() -> None:
    first, last = GenerativeBasis(5, 3, side=4), DiscriminativeBasis(3, 2, side=4)
    z, x = torch.randn(2, 5), torch.randn(2, 3, 4, 4)
    expected = torch.einsum("ci,bi,chw->bchw", first.weights.weight, z, first.basis)
    torch.testing.assert_close(first(z), expected)
    torch.testing.assert_close(last(x), torch.einsum("oc,bchw,chw->bo", last.weights.weight, x, last.basis))


@pytest.mark.parametrize("conditional", [False, True])
def test_a_sample_depends_on_its_latent_and_label_alone(conditional: bool) -> None:
    generator = small(conditional=conditional).double().eval()
    discriminator = small_discriminator(conditional=conditional).double()
    z, y = torch.randn(4, 5, dtype=torch.float64), torch.tensor([0, 1, 2, 1])
    images = generator(z, y)
    logits = discriminator(images, y)
    for i in range(4):
        torch.testing.assert_close(generator(z[i : i + 1], y[i : i + 1])[0], images[i])
        torch.testing.assert_close(discriminator(images[i : i + 1], y[i : i + 1])[0], logits[i])
    assert torch.equal(generator(z, y.flip(0)), images) != conditional
    assert torch.equal(discriminator(images, y.flip(0)), logits) != conditional


@pytest.mark.parametrize("conditional", [False, True])
def test_every_parameter_learns(conditional: bool) -> None:
    generator, discriminator = small(conditional=conditional), small_discriminator(conditional=conditional)
    y = torch.tensor([0, 1, 2, 1])
    discriminator(generator(torch.randn(4, 5), y), y).square().sum().backward()
    for network in (generator, discriminator):
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("conditional", [False, True])
def test_discriminator_has_second_derivatives(conditional: bool) -> None:
    """d/dt of |grad_x D|^2 along a direction of the weights, against the central difference."""
    discriminator = small_discriminator(conditional=conditional).double()
    x, y = torch.randn(4, 1, 8, 8, dtype=torch.float64, requires_grad=True), torch.tensor([0, 1, 2, 1])
    parameters = list(discriminator.parameters())
    directions = [torch.randn_like(parameter) for parameter in parameters]

    def penalty() -> Tensor:
        (gradient,) = torch.autograd.grad(discriminator(x, y).sum(), x, create_graph=True)
        return gradient.square().sum()

    gradients = torch.autograd.grad(penalty(), parameters, allow_unused=True)
    slope = sum((g * d).sum().item() for g, d in zip(gradients, directions, strict=True) if g is not None)
    values = []
    for step in (1e-6, -2e-6):
        with torch.no_grad():
            for parameter, direction in zip(parameters, directions, strict=True):
                parameter += step * direction
        values.append(penalty().item())
    assert slope == pytest.approx((values[0] - values[1]) / 2e-6, rel=1e-4)
    assert abs(slope) > 1e-3
