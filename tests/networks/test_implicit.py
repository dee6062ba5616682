import pytest
import torch
from torch.nn import functional as F

from src.data.spec import Spec
from src.networks.implicit import ImplicitGenerator, ModulatedLinear, pixel_centres

TEN = tuple("0123456789")
MNIST, CIFAR, TINY = Spec.of("image", (1, 28, 28)), Spec.of("image", (3, 32, 32)), Spec.of("image", (3, 8, 8), TEN)
SMALL = {"z_dim": 5, "width": 12, "depth": 2, "features": 6}


def count(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_parameters_by_hand() -> None:
    mapping = (64 * 128 + 128) + (128 * 128 + 128)
    fourier = 2 * 64 + 64
    hidden = (64 * 128 + 128) + (128 * 64 + 64) + 3 * ((128 * 128 + 128) + (128 * 128 + 128))  # weights, then their scales
    assert count(ImplicitGenerator(MNIST)) == mapping + fourier + hidden + (128 + 1) + (128 * 128 + 128)
    assert count(ImplicitGenerator(CIFAR)) == mapping + fourier + hidden + (3 * 128 + 3) + (128 * 128 + 128)
    labelled = Spec.of("image", (1, 28, 28), TEN)
    assert count(ImplicitGenerator(labelled, conditional=True)) - count(ImplicitGenerator(MNIST)) == 10 * 64 + 64 * 128


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 16, 16), (1, 28, 28), (3, 32, 32), (1, 64, 64)])
def test_sizes_come_from_the_spec(shape: tuple[int, int, int]) -> None:
    generator = ImplicitGenerator(Spec.of("image", shape), **SMALL)
    assert (generator.z_dim, generator.classes) == (5, 0)
    images = generator(torch.randn(3, 5))
    assert images.shape == (3, *shape)
    assert 0.05 < images.abs().max() <= 1
    assert generator.render(torch.randn(2, 5), side=11).shape == (2, shape[0], 11, 11)


def test_pixel_centres_by_hand() -> None:
    """Pixels of 28 are 2/28 wide: centres at -27/28, -25/28, ...; those of 56 at -55/56, -53/56, two to each of them."""
    assert pixel_centres(2).tolist() == [[-0.5, -0.5], [0.5, -0.5], [-0.5, 0.5], [0.5, 0.5]]  # x first, y down
    coarse, fine = pixel_centres(28).view(28, 28, 2), pixel_centres(56).view(56, 56, 2)
    torch.testing.assert_close(coarse[0, :2, 0], torch.tensor([-27 / 28, -25 / 28]))
    torch.testing.assert_close(coarse[27, 27], torch.tensor([27 / 28, 27 / 28]))
    torch.testing.assert_close(fine[0, :4, 0], torch.tensor([-55 / 56, -53 / 56, -51 / 56, -49 / 56]))
    torch.testing.assert_close(fine.view(28, 2, 28, 2, 2).mean((1, 3)), coarse)


def test_modulated_weights_one_sample_and_weight_at_a_time() -> None:
    layer = ModulatedLinear(3, 2, 4).double()
    torch.nn.init.normal_(layer.bias)
    x, style = torch.randn(5, 7, 3, dtype=torch.float64), torch.randn(5, 4, dtype=torch.float64)
    out = layer(x, style)
    layer.demodulate = False
    plain = layer(x, style)
    for b in range(5):
        s = layer.scale.weight @ style[b] + layer.scale.bias
        for i in range(2):
            w = [layer.weight[i, j] * s[j] for j in range(3)]
            length = sum(w_j**2 for w_j in w) ** 0.5
            for p in range(7):
                product = sum(w[j] * x[b, p, j] for j in range(3))
                torch.testing.assert_close(plain[b, p, i], product + layer.bias[i])
                torch.testing.assert_close(out[b, p, i], 2**0.5 * product / length + layer.bias[i], rtol=1e-6, atol=1e-6)


def test_layers_keep_the_mean_square() -> None:
    """Of N(0, 1) a leaky rectifier leaves (1 + 0.2^2) / 2, and the layer gives twice that: 1.04 whatever the style."""
    torch.manual_seed(0)
    x = F.leaky_relu(ModulatedLinear(64, 256, 16)(torch.randn(1, 400, 64), 5 * torch.randn(1, 16)), 0.2)
    assert 1.0 < x.square().mean() < 1.08


def smooth() -> ImplicitGenerator:
    torch.manual_seed(0)
    generator = ImplicitGenerator(MNIST, width=32, depth=2).eval()
    with torch.no_grad():
        generator.frequencies.mul_(0.2)
    return generator


def test_a_finer_rendering_is_the_same_image() -> None:
    """The mean over a pixel's four quarters is its centre, up to the curvature: a quarter of the error from 56 to 112."""
    generator, z = smooth(), torch.randn(4, 64)
    with torch.no_grad():
        one, two, four = generator(z), generator.render(z, side=56), generator.render(z, side=112)
    assert torch.equal(one, generator.render(z, side=28))
    assert one.std((2, 3)).min() > 0.05
    error = (F.avg_pool2d(two, 2) - one).abs().mean()
    assert error < 0.005
    assert 3 < error / (F.avg_pool2d(four, 2) - two).abs().mean() < 5
    moved = F.avg_pool2d(two.roll(1, dims=3), 2)[:, :, :, 1:]  # by half a pixel of the coarse image
    assert (moved - one[:, :, :, 1:]).abs().mean() > 4 * error


def test_x_goes_to_the_right() -> None:
    generator = ImplicitGenerator(TINY, **SMALL)
    torch.nn.init.zeros_(generator.frequencies[1])  # no wave depends on y
    image = generator(torch.randn(2, 5))
    torch.testing.assert_close(image, image[:, :, :1].expand_as(image))
    assert image.std(3).min() > 1e-3


@pytest.mark.parametrize("conditional", [False, True])
def test_gradients_reach_every_parameter(conditional: bool) -> None:
    generator = ImplicitGenerator(TINY, conditional=conditional, **SMALL)
    generator(torch.randn(40, 5), torch.arange(40) % 10).square().sum().backward()
    for name, parameter in generator.named_parameters():
        assert (parameter.grad != 0).any(), name


def test_path_lengths_can_be_differentiated() -> None:
    generator = ImplicitGenerator(TINY, **SMALL).double()
    z = torch.randn(2, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda z: generator.render(z, side=2), z)


def test_only_the_direction_of_the_latent_counts() -> None:
    generator, z = ImplicitGenerator(TINY, **SMALL), torch.randn(3, 5)
    torch.testing.assert_close(generator(3 * z), generator(z))


def test_each_sample_depends_on_itself_alone() -> None:
    generator = ImplicitGenerator(TINY, conditional=True, **SMALL).eval()
    z, y = torch.randn(6, 5), torch.arange(6)
    images = generator(z, y)
    assert torch.equal(images, generator(z, y))
    torch.testing.assert_close(generator(z[2:3], y[2:3])[0], images[2])
    assert (images[1:] - images[:-1]).abs().amax((1, 2, 3)).min() > 0.01


def test_labels() -> None:
    generator = ImplicitGenerator(TINY, conditional=True, **SMALL)
    assert generator.classes == 10
    zero, one = generator(torch.randn(1, 5).expand(2, 5), torch.tensor([0, 1]))
    assert (zero - one).abs().max() > 0.01
    with pytest.raises(ValueError, match="no classes"):
        ImplicitGenerator(MNIST, conditional=True)


def test_mixed_precision_keeps_the_angles() -> None:
    """Hundreds of radians, which bfloat16 would round to whole ones."""
    generator = ImplicitGenerator(TINY, **SMALL).eval()
    with torch.no_grad():
        generator.frequencies.mul_(100)
    z = torch.randn(2, 5)
    exact = generator(z)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = generator(z)
    assert (rounded.float() - exact).abs().max() < 0.05
