import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, pad

from src.data.spec import Spec
from src.networks.stylegan2 import (
    EqualLinear,
    Mapping,
    Resample,
    StyledConv,
    StyleGAN2Generator,
    ToRGB,
    downsample,
    lowpass,
    sides,
    upsample,
)
from src.networks.stylegan2_discriminator import Block, MinibatchStd, StyleGAN2Discriminator

CLASSES = ("a", "b", "c")
DIGITS, MNIST, COLOUR = Spec.of("image", (1, 8, 8), CLASSES), Spec.of("image", (1, 28, 28)), Spec.of("image", (3, 32, 32))
FIR = torch.outer(torch.tensor([1.0, 3.0, 3.0, 1.0]), torch.tensor([1.0, 3.0, 3.0, 1.0])).double()[None, None] / 64


def small(spec: Spec = DIGITS, **settings: float) -> StyleGAN2Generator:
    torch.manual_seed(0)
    return StyleGAN2Generator(spec, **{"z_dim": 5, "w_dim": 6, "mapping_layers": 2, "channel_max": 8, **settings})  # type: ignore[arg-type]


def small_discriminator(spec: Spec = DIGITS, **settings: float) -> StyleGAN2Discriminator:
    torch.manual_seed(0)
    return StyleGAN2Discriminator(spec, **{"channel_max": 8, **settings})  # type: ignore[arg-type]


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def zero_insert(x: Tensor) -> Tensor:
    """[B, C, S, S] to [B, C, 2 S, 2 S]: x in the even places, zero in the others."""
    out = x.new_zeros(*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3])
    out[:, :, ::2, ::2] = x
    return out


def fir(x: Tensor, before: int, after: int) -> Tensor:
    """[1, 3, 3, 1] / 8 along both axes, after padding with zeros."""
    return conv2d(pad(x, [before, after] * 2).flatten(0, 1)[:, None], FIR).unflatten(0, x.shape[:2]).squeeze(2)


def test_parameters_are_those_of_the_official_networks() -> None:
    """At 1024 the official code prints 28,794,124 with two mapping layers of 262,656, and 29,012,513 for the discriminator."""
    with torch.device("meta"):
        spec = Spec.of("image", (3, 1024, 1024))
        assert count(StyleGAN2Generator(spec)) == 28_794_124 + 6 * 262_656
        assert count(StyleGAN2Discriminator(spec)) == 29_012_513


def test_parameters_at_28_by_hand() -> None:
    """7, 14, 28, with 512 channels at each."""
    dense, conv = 512 * 512 + 512, 512 * 512 * 9 + 512
    labelled = Spec.of("image", (1, 28, 28), CLASSES)
    with torch.device("meta"):
        unconditional = count(StyleGAN2Generator(MNIST))
        assert unconditional == 8 * dense + 512 * 49 + 5 * (conv + dense + 1) + 3 * (512 + 1 + dense)
        assert count(StyleGAN2Generator(labelled, conditional=True)) == unconditional + 3 * 512 + 512 * 512
        blocks = 2 * (2 * conv + 512 * 512)
        last = (513 * 512 * 9 + 512) + (512 * 49 * 512 + 512)
        assert count(StyleGAN2Discriminator(MNIST)) == 2 * 512 + blocks + last + 513
        assert count(StyleGAN2Discriminator(MNIST, residual=False)) == 2 * 512 + blocks + last + 513 - 2 * 512 * 512
        assert count(StyleGAN2Discriminator(labelled, conditional=True)) == 2 * 512 + blocks + last + 9 * dense + 3 * 512


@pytest.mark.parametrize("spec", [DIGITS, MNIST, COLOUR, Spec.of("image", (3, 64, 64))])
def test_shapes(spec: Spec) -> None:
    generator = small(spec)
    images = generator(torch.randn(3, 5))
    assert images.shape == (3, *spec.shape)
    assert generator.num_layers == 2 * len(sides(spec))
    assert small_discriminator(spec)(images).shape == (3,)


def test_sides() -> None:
    assert sides(MNIST) == [7, 14, 28]
    assert sides(COLOUR) == [4, 8, 16, 32]


def test_channels_halve_where_the_side_doubles() -> None:
    generator = small(COLOUR, channel_base=64, channel_max=8)
    assert [conv.weight.shape[0] for conv in generator.synthesis.convs] == [8, 8, 8, 4, 4, 2, 2]


@pytest.mark.parametrize("shape", [(1, 4, 4), (1, 7, 7), (1, 12, 12), (1, 30, 30), (1, 28, 32)])
def test_a_side_that_cannot_be_built(shape: tuple[int, ...]) -> None:
    for network in (StyleGAN2Generator, StyleGAN2Discriminator):
        with pytest.raises(ValueError, match="side 28 or 8, 16, 32, 64"):
            network(Spec.of("image", shape))


def test_conditional_without_classes() -> None:
    for network in (StyleGAN2Generator, StyleGAN2Discriminator):
        with pytest.raises(ValueError, match="the data has no classes"):
            network(MNIST, conditional=True)
    assert small().classes == 0
    assert small(conditional=True).classes == 3


def test_filters_are_the_low_pass_filter() -> None:
    x = torch.randn(2, 3, 6, 6, dtype=torch.float64)
    torch.testing.assert_close(upsample(6).double()(x), 4 * fir(zero_insert(x), 2, 1))
    torch.testing.assert_close(downsample(6).double()(x), fir(x, 1, 1)[:, :, ::2, ::2])
    torch.testing.assert_close(Resample(lowpass(5, 6, 1, 2)).double()(x), 4 * fir(x, 1, 1))
    torch.testing.assert_close(Resample(lowpass(6, 7, 1, 2).mT / 2).double()(x), fir(x, 2, 2))
    ones = torch.ones(1, 1, 6, 6)
    assert (upsample(6)(ones)[:, :, 1:-1, 1:-1] == 1).all()
    assert (downsample(6)(ones)[:, :, 1:-1, 1:-1] == 1).all()


@pytest.mark.parametrize("up", [False, True])
def test_styled_convolution_is_that_of_modulated_and_demodulated_weights(up: bool) -> None:
    """Sample by sample with the weights w'' of equations 1 to 3, which are never built in the network."""
    torch.manual_seed(0)
    layer = StyledConv(3, 4, w_dim=5, side=6, up=up).double().eval()
    nn.init.constant_(layer.noise_strength, 0.3)
    nn.init.normal_(layer.bias)
    x, w = torch.randn(2, 3, 3 if up else 6, 3 if up else 6, dtype=torch.float64), torch.randn(2, 5, dtype=torch.float64)
    for i in range(2):
        style = layer.style.weight @ w[i] / math.sqrt(5) + 1
        weight = layer.weight * style[None, :, None, None]
        weight = weight / weight.square().sum((1, 2, 3), keepdim=True).sqrt()
        if up:  # a transposed convolution is one of the zeros put in between, with the weights turned round
            spread = conv2d(pad(zero_insert(x[i : i + 1]), [2, 1, 2, 1]), weight.flip(2, 3))  # [1, 4, 7, 7]
            y = 4 * fir(spread, 1, 1)
        else:
            y = conv2d(x[i : i + 1], weight, padding=1)
        y = y + 0.3 * layer.noise + layer.bias
        expected = math.sqrt(2) * torch.where(y > 0, y, 0.2 * y)
        torch.testing.assert_close(layer(x, w)[i : i + 1], expected)


def test_image_layer_by_hand() -> None:
    layer = ToRGB(4, 1, w_dim=2)
    nn.init.constant_(layer.weight, 1.0)
    nn.init.constant_(layer.style.weight, 0.0)
    nn.init.constant_(layer.bias, 0.5)
    x = torch.tensor([1.0, 2.0, 3.0, 4.0])[None, :, None, None]
    assert layer(x, torch.randn(1, 2)).item() == pytest.approx(10 / math.sqrt(4) + 0.5)  # no demodulation


def test_equalised_learning_rate_by_hand() -> None:
    layer = EqualLinear(4, 1, bias=0.25, multiplier=0.01)
    assert layer.bias.item() == pytest.approx(25)
    nn.init.constant_(layer.weight, 100.0)
    assert layer(torch.ones(1, 4)).item() == pytest.approx(100 * 0.01 / 2 * 4 + 0.25)
    torch.manual_seed(0)
    assert EqualLinear(300, 300, multiplier=0.01).weight.std().item() == pytest.approx(100, rel=0.02)


def test_mapping_keeps_the_scale() -> None:
    torch.manual_seed(0)
    mapping = Mapping(512, 512, layers=2, classes=0)
    w = mapping(torch.randn(64, 512))
    assert 0.8 < w.square().mean().item() < 1.3
    z = torch.randn(3, 512)
    torch.testing.assert_close(mapping(z), mapping(7 * z))  # z is normalised


def test_mean_of_w_moves_in_training_passes_only() -> None:
    generator = small(style_mixing=0.0)
    z = torch.randn(4, 5)
    w = generator.mapping(z)
    generator.synthesis(w)
    generator.eval()(z)
    assert generator.w_mean.abs().max() == 0
    generator.train()(z)
    torch.testing.assert_close(generator.w_mean, 0.005 * w.mean(0))
    generator(z)
    torch.testing.assert_close(generator.w_mean, (1 - 0.995**2) * w.mean(0))


def test_truncation() -> None:
    generator = small().eval()
    assert generator.truncates
    generator.w_mean.copy_(torch.randn(6))
    z = torch.randn(4, 5)
    mean = generator.synthesis(generator.w_mean.expand(4, 6))
    torch.testing.assert_close(generator(z, truncation=0.0), mean)
    half = (generator.w_mean + generator.mapping(z)) / 2
    torch.testing.assert_close(generator(z, truncation=0.5), generator.synthesis(half))
    assert not torch.allclose(generator(z), generator(z, truncation=0.5))


def test_synthesis_takes_one_w_or_one_for_each_layer() -> None:
    generator = small().eval()
    w = torch.randn(2, 6)
    ws = w[:, None].repeat(1, generator.num_layers, 1).requires_grad_()
    torch.testing.assert_close(generator.synthesis(ws), generator.synthesis(w))
    (gradient,) = torch.autograd.grad(generator.synthesis(ws).square().sum(), ws)
    assert (gradient.abs().amax((0, 2)) > 0).all()  # no layer's w is left unused


def test_the_image_is_the_sum_over_the_resolutions() -> None:
    generator = small(COLOUR).eval()
    for k, layer in enumerate(generator.synthesis.images):
        nn.init.zeros_(layer.weight)
        nn.init.constant_(layer.bias, 10.0**k)
    image = generator(torch.randn(1, 5))
    assert (image[:, :, 8:-8, 8:-8] == 1111).all()
    x = torch.ones(1, 1, 4, 4, dtype=torch.float64)
    for k in (1, 2, 3):
        x = 4 * fir(zero_insert(x), 2, 1) + 10.0**k
    torch.testing.assert_close(image, x.float().expand(1, 3, 32, 32))


def test_style_mixing() -> None:
    generator = small(style_mixing=0.25)
    w, other = torch.zeros(4000, 6), torch.ones(4000, 6)
    mixed = generator.mix(w, other)  # [4000, 4, 6]
    assert mixed.shape == (4000, 4, 6)
    taken = mixed[:, :, 0]
    assert (mixed == taken[:, :, None]).all()
    assert (taken[:, 0] == 0).all()
    assert (taken.diff(dim=1) >= 0).all()  # once changed, for the rest
    some = taken[:, -1] == 1
    assert some.float().mean().item() == pytest.approx(0.25, abs=4 * math.sqrt(0.25 * 0.75 / 4000))
    layers = taken[some].sum(1)  # 1, 2 or 3 layers taken, equally often
    assert torch.bincount(layers.long(), minlength=4)[1:] == pytest.approx(len(layers) / 3, rel=0.2)


def test_style_mixing_is_of_training_alone() -> None:
    z = torch.randn(4, 5)
    plain, mixing = small(style_mixing=0.0), small(style_mixing=1.0)
    assert not torch.allclose(plain(z), mixing(z))
    assert torch.equal(plain.eval()(z), mixing.eval()(z))


def test_noise_is_drawn_in_training_and_fixed_in_evaluation() -> None:
    generator = small(style_mixing=0.0)
    z = torch.randn(4, 5)
    assert torch.equal(generator(z), generator(z))  # its strength starts at zero
    for conv in generator.synthesis.convs:
        nn.init.constant_(conv.noise_strength, 0.5)
    assert not torch.equal(generator(z), generator(z))
    torch.manual_seed(1)
    first = generator(z)
    torch.manual_seed(1)
    assert torch.equal(generator(z), first)
    generator.eval()
    assert torch.equal(generator(z), generator(z))


@pytest.mark.parametrize("conditional", [False, True])
def test_in_evaluation_a_sample_depends_on_its_latent_and_label_alone(conditional: bool) -> None:
    generator = small(conditional=conditional).double().eval()
    for conv in generator.synthesis.convs:
        nn.init.constant_(conv.noise_strength, 0.5)
    z, y = torch.randn(4, 5, dtype=torch.float64), torch.tensor([0, 1, 2, 1])
    together = generator(z, y)
    for i in range(4):
        torch.testing.assert_close(generator(z[i : i + 1], y[i : i + 1])[0], together[i])
    assert torch.equal(generator(z, y.flip(0)), together) != conditional


@pytest.mark.parametrize("conditional", [False, True])
def test_every_parameter_learns(conditional: bool) -> None:
    generator = small(conditional=conditional)
    discriminator = small_discriminator(conditional=conditional)
    y = torch.tensor([0, 1, 2, 1])
    discriminator(generator(torch.randn(4, 5), y), y).square().sum().backward()
    for network in (generator, discriminator):
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.abs().max() > 0, name


def test_minibatch_standard_deviation_by_hand() -> None:
    """Samples 0 and 1 make a group, 2 and 3 another: deviations |a - b| / 2, averaged over the features."""
    layer = MinibatchStd(2)
    assert layer.batch_dependent
    x = torch.tensor([[0.0, 1.0], [2.0, 7.0], [5.0, 5.0], [5.0, 5.0]], dtype=torch.float64)[:, :, None, None].expand(4, 2, 3, 3)
    out = layer(x)
    assert out.shape == (4, 3, 3, 3)
    assert torch.equal(out[:, :2], x)
    assert out[:, 2, 0, 0].tolist() == pytest.approx([2.0, 2.0, 1e-4, 1e-4], rel=1e-6)
    assert (out[:, 2] == out[:, 2, :1, :1]).all()


@pytest.mark.parametrize("batch", [1, 3, 5, 6])
def test_minibatch_standard_deviation_of_an_uneven_batch(batch: int) -> None:
    """One group of all samples."""
    x = torch.randn(batch, 2, 3, 3, dtype=torch.float64)
    got = MinibatchStd(4)(x)[:, 2]
    assert got == pytest.approx(x.numpy().std(0).mean(), abs=2e-4)


@pytest.mark.parametrize("residual", [False, True])
def test_block_of_the_discriminator(residual: bool) -> None:
    torch.manual_seed(0)
    block = Block(3, 4, side=8, residual=residual).double()
    for parameter in block.parameters():
        nn.init.normal_(parameter)
    first, _, second = block.main
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    y = conv2d(x, first.weight / math.sqrt(27), padding=1) + first.bias[:, None, None]
    y = math.sqrt(2) * torch.where(y > 0, y, 0.2 * y)
    y = conv2d(fir(y, 2, 2), second.weight / math.sqrt(27), stride=2) + second.bias[:, None, None]
    y = math.sqrt(2) * torch.where(y > 0, y, 0.2 * y)
    if residual:
        y = (y + conv2d(fir(x, 1, 1)[:, :, ::2, ::2], block.skip[1].weight / math.sqrt(3))) / math.sqrt(2)
    torch.testing.assert_close(block(x), y)


def test_conditional_logit_is_a_projection() -> None:
    discriminator = small_discriminator(conditional=True)
    x, y = torch.randn(4, 1, 8, 8), torch.tensor([0, 1, 2, 1])
    label = discriminator.embedding.weight[y]
    label = discriminator.mapping(label / label.square().mean(1, keepdim=True).sqrt())
    expected = torch.einsum("bi,bi->b", discriminator.features(x), label) / math.sqrt(8)
    torch.testing.assert_close(discriminator(x, y), expected)


def test_discriminator_sees_the_label_and_the_batch() -> None:
    discriminator = small_discriminator(conditional=True)
    x, y = torch.randn(4, 1, 8, 8), torch.tensor([0, 1, 2, 1])
    logits = discriminator(x, y)
    assert not torch.isclose(discriminator(x, torch.tensor([1, 1, 2, 1]))[0], logits[0])
    assert torch.allclose(discriminator(x, torch.tensor([1, 1, 2, 1]))[1:], logits[1:])
    other = torch.cat([x[:1], 3 * x[1:]])
    assert not torch.isclose(discriminator(other, y)[0], logits[0])


@pytest.mark.parametrize("settings", [{}, {"conditional": True}, {"residual": False}])
def test_discriminator_has_second_derivatives(settings: dict[str, bool]) -> None:
    """d/dt of |grad_x D|^2 along a direction of the weights, against the central difference."""
    discriminator = small_discriminator(**settings).double()
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
