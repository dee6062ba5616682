import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.data.spec import Spec
from src.networks.dcgan import DCGANDiscriminator, DCGANGenerator

DIGITS = Spec.of("image", (1, 8, 8), ("a", "b", "c"))
MNIST = Spec.of("image", (1, 28, 28), tuple("0123456789"))
LARGE = Spec.of("image", (3, 64, 64))
LABELS = torch.tensor([0, 1, 2, 1, 0])
BOTH = [{"conditional": False}, {"conditional": True}]
SETTINGS = [{}, {"conditional": True}, {"batch_norm": False, "spectral_norm": True, "conditional": True}]


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_the_papers_generator() -> None:
    """Radford et al. 2015, figure 1: 100 -> 4x4x1024 -> 8x8x512 -> 16x16x256 -> 32x32x128 -> 64x64x3."""
    generator = DCGANGenerator(LARGE, width=128)
    shapes = [generator.project(torch.randn(2, 100)).unflatten(1, (-1, 4, 4)).shape[1:]]
    for module in generator.modules():
        if isinstance(module, nn.ConvTranspose2d):
            module.register_forward_hook(lambda module, inputs, output: shapes.append(output.shape[1:]))
    generator(torch.randn(2, 100))
    assert shapes == [(1024, 4, 4), (512, 8, 8), (256, 16, 16), (128, 32, 32), (3, 64, 64)]


def test_parameter_counts() -> None:
    """64 x 64 by hand, those of PyTorch's DCGAN example (pytorch/examples, no biases at all) and the ends' biases."""
    kernels, norms = 16 * (100 * 512 + 512 * 256 + 256 * 128 + 128 * 64 + 64 * 3), 2 * (512 + 256 + 128 + 64)
    assert kernels + norms == 3_576_704
    assert count(DCGANGenerator(LARGE)) == 3_576_704 + 3
    kernels, norms = 16 * (3 * 64 + 64 * 128 + 128 * 256 + 256 * 512 + 512), 2 * (128 + 256 + 512)
    assert kernels + norms == 2_765_568
    assert count(DCGANDiscriminator(LARGE)) == 2_765_568 + 64 + 1


def test_parameter_counts_with_labels() -> None:
    generator = count(DCGANGenerator(MNIST, width=16))
    assert generator == 100 * 32 * 49 + 2 * 32 + 16 * 32 * 16 + 2 * 16 + 16 * 16 + 1
    assert count(DCGANGenerator(MNIST, width=16, conditional=True)) - generator == 10 * 32 * 49
    discriminator = count(DCGANDiscriminator(MNIST, width=16))
    assert discriminator == 16 * 16 + 16 + 16 * 16 * 32 + 2 * 32 + 49 * 32 + 1
    assert count(DCGANDiscriminator(MNIST, width=16, conditional=True)) - discriminator == 10 * 16 * 16
    assert count(DCGANDiscriminator(MNIST, width=16, auxiliary=True)) - discriminator == 10 * (49 * 32 + 1)
    assert count(DCGANDiscriminator(MNIST, width=16, batch_norm=False)) - discriminator == 32 - 2 * 32


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 16, 16), (1, 28, 28), (3, 32, 32), (3, 64, 64)])
@pytest.mark.parametrize("settings", BOTH)
def test_sizes_come_from_the_spec(shape: tuple[int, ...], settings: dict[str, bool]) -> None:
    spec = Spec.of("image", shape, DIGITS.classes)
    generator = DCGANGenerator(spec, z_dim=7, width=4, **settings)
    images = generator(torch.randn(5, 7), LABELS)
    assert images.shape == (5, *shape)
    assert 0 < images.abs().max() <= 1
    assert DCGANDiscriminator(spec, width=4, **settings)(images, LABELS).shape == (5,)
    assert generator.classes == (3 if settings["conditional"] else 0)


@pytest.mark.parametrize("spectral_norm", [False, True])
@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 28, 28)])
def test_the_label_stands_beside_the_image(shape: tuple[int, ...], spectral_norm: bool) -> None:
    """The same as K planes, one of ones and the others of zeros, through the first layer: at the borders too."""
    spec = Spec.of("image", shape, DIGITS.classes)
    network = DCGANDiscriminator(spec, width=4, conditional=True, spectral_norm=spectral_norm).double().eval()
    x = torch.randn(5, *shape, dtype=torch.float64)
    planes = torch.zeros(5, 3, *shape[1:], dtype=torch.float64)
    planes[range(5), LABELS] = 1
    expected = network.head(network.features(network.first(torch.cat([x, planes], 1)))).squeeze(1)
    assert torch.allclose(network(x, LABELS), expected, rtol=1e-9, atol=1e-14)
    assert not torch.allclose(network(x, LABELS), network(x, (LABELS + 1) % 3), rtol=1e-3)


def test_the_label_stands_beside_the_latent() -> None:
    generator = DCGANGenerator(DIGITS, z_dim=4, width=4, conditional=True).eval()
    z = torch.randn(5, 4)
    expected = generator.layers(generator.project(torch.cat([z, torch.eye(3)[LABELS]], 1)).unflatten(1, (4, 4, 4)))
    assert torch.allclose(generator(z, LABELS), expected, atol=1e-6)


def test_the_auxiliary_classifier_reads_the_same_features() -> None:
    network = DCGANDiscriminator(DIGITS, width=4, auxiliary=True).eval()
    x = torch.randn(5, 1, 8, 8)
    features = F.leaky_relu(network.first(x), 0.2).flatten(1)
    assert torch.allclose(network.classify(x), features @ network.classifier.weight.T + network.classifier.bias, atol=1e-6)
    assert torch.allclose(network(x), features @ network.head.weight[0] + network.head.bias, atol=1e-6)


def test_batch_norm_is_in_all_layers_but_the_first() -> None:
    def layers(**settings: bool) -> list[str]:
        return [type(module).__name__ for module in DCGANDiscriminator(LARGE, width=4, **settings).features]

    assert layers() == ["LeakyReLU", *["Conv2d", "BatchNorm2d", "LeakyReLU"] * 3, "Flatten"]
    assert layers(batch_norm=False) == ["LeakyReLU", *["Conv2d", "LeakyReLU"] * 3, "Flatten"]


def test_initialisation() -> None:
    """N(0, 0.02^2); the gains of batch norm N(1, 0.02^2)."""
    for network in (DCGANGenerator(LARGE, width=16), DCGANDiscriminator(LARGE, width=16)):
        for name, parameter in network.named_parameters():
            if name.endswith("bias"):
                assert parameter.abs().max() == 0
            else:
                assert parameter.std().item() == pytest.approx(0.02, rel=0.5 if parameter.numel() < 100 else 0.2)
                assert parameter.mean().item() == pytest.approx(1 if parameter.dim() == 1 else 0, abs=0.02)


def test_spectral_norm_makes_the_scale_of_the_weights_immaterial() -> None:
    network = DCGANDiscriminator(MNIST, width=4, batch_norm=False, spectral_norm=True, conditional=True).double().eval()
    x = torch.randn(5, 1, 28, 28, dtype=torch.float64)
    before = network(x, LABELS)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("original"):
                parameter *= 3
    assert torch.allclose(network(x, LABELS), before, rtol=1e-9)
    assert torch.linalg.svdvals(network.first.weight.flatten(1))[0].item() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("settings", BOTH)
def test_gradients_reach_every_weight_of_the_generator(settings: dict[str, bool]) -> None:
    generator = DCGANGenerator(Spec.of("image", (1, 16, 16), DIGITS.classes), width=4, **settings)
    images = generator(torch.randn(5, 100), LABELS)
    check_gradients(generator, images)


@pytest.mark.parametrize("settings", [*SETTINGS, {"auxiliary": True}])
def test_gradients_reach_every_weight_of_the_discriminator(settings: dict[str, bool]) -> None:
    network = DCGANDiscriminator(Spec.of("image", (1, 16, 16), DIGITS.classes), width=4, **settings)
    x = torch.randn(5, 1, 16, 16)
    out = network(x, LABELS)
    check_gradients(network, torch.cat([out[:, None], network.classify(x)], 1) if "auxiliary" in settings else out)


def check_gradients(network: nn.Module, out: Tensor) -> None:
    (out * torch.randn_like(out)).sum().backward()
    assert [name for name, parameter in network.named_parameters() if not parameter.grad.abs().max() > 0] == []


@pytest.mark.parametrize("network", [DCGANGenerator, DCGANDiscriminator])
def test_in_evaluation_a_sample_is_a_function_of_its_own_input(network: type[nn.Module]) -> None:
    """Whatever else is in the batch, and however often it is asked."""
    net = network(Spec.of("image", (1, 16, 16), DIGITS.classes), width=4, conditional=True).double()
    x = torch.randn(5, *([100] if network is DCGANGenerator else [1, 16, 16]), dtype=torch.float64)
    net(x, LABELS)  # the statistics of batch norm move
    net.eval()
    out = net(x, LABELS)
    assert torch.equal(net(x, LABELS), out)
    assert torch.allclose(net(x[2:4], LABELS[2:4]), out[2:4], rtol=1e-12)
    assert not torch.allclose(net(x[:2], LABELS[2:4]), out[2:4], rtol=1e-3)


@pytest.mark.parametrize("settings", SETTINGS)
def test_a_gradient_penalty_can_be_minimised(settings: dict[str, bool]) -> None:
    """The second derivatives, against a difference of penalties along a random direction of all weights."""
    network = DCGANDiscriminator(Spec.of("image", (1, 16, 16), DIGITS.classes), width=4, **settings).double().eval()
    for parameter in network.parameters():  # from N(0, 0.02^2) the penalty is lost in rounding
        nn.init.normal_(parameter, std=0.3)
    x = torch.randn(5, 1, 16, 16, dtype=torch.float64).requires_grad_()

    def penalty() -> Tensor:
        (found,) = torch.autograd.grad(network(x, LABELS).sum(), x, create_graph=True)
        return found.square().sum()

    penalty().backward()
    directions = [torch.randn_like(parameter) for parameter in network.parameters()]
    pairs = list(zip(network.parameters(), directions, strict=True))
    slope = sum((parameter.grad * direction).sum() for parameter, direction in pairs if parameter.grad is not None)
    values, step = [], 1e-7
    for move in (step, -2 * step):
        with torch.no_grad():
            for parameter, direction in pairs:
                parameter += move * direction
        values.append(penalty().item())
    assert slope.item() != 0
    assert (values[0] - values[1]) / (2 * step) == pytest.approx(slope.item(), rel=1e-4)


def test_settings_that_do_not_fit() -> None:
    for network in (DCGANGenerator, DCGANDiscriminator):
        with pytest.raises(ValueError, match="no classes: take labelled data"):
            network(LARGE, conditional=True)
        with pytest.raises(ValueError, match="side 28 or 8, 16, 32, 64"):
            network(Spec.of("image", (1, 20, 20)))
    with pytest.raises(ValueError, match="no classes"):
        DCGANDiscriminator(LARGE, auxiliary=True)
    with pytest.raises(ValueError, match="choose conditional or auxiliary"):
        DCGANDiscriminator(MNIST, conditional=True, auxiliary=True)
    with pytest.raises(ValueError, match="auxiliary: true"):
        DCGANDiscriminator(DIGITS, width=4).classify(torch.zeros(1, 1, 8, 8))
