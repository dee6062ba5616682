"""The published recipes in conf/experiment: what they set, against the numbers of their sources, worked out by hand."""

from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from src.config.build import instantiate
from src.config.experiment import Experiment
from src.data.spec import Field, Spec
from src.models.gan.regularizers import Update
from src.networks.mlp import MLPDiscriminator, MLPGenerator

EXPERIMENTS = Path(__file__).parent.parent / "conf" / "experiment"
CIFAR = Spec.of("image", (3, 32, 32), tuple("0123456789"))


def conv(inputs: int, outputs: int, kernel: int = 3) -> int:
    return inputs * outputs * kernel**2 + outputs


def dense(inputs: int, outputs: int) -> int:
    return inputs * outputs + outputs


# Parameters of the ResNets of Miyato et al. 2018, table 4: three blocks up from 4 x 4 (each with two batch norms), one last
# batch norm; four blocks down to 8 x 8. With labels, each batch norm of a block has a gain and a bias for each of 10 classes.
UP = 2 * conv(256, 256) + conv(256, 256, 1)
RESNET_G = dense(128, 256 * 16) + 3 * (UP + 2 * 2 * 256) + 2 * 256 + conv(256, 3)
RESNET_G_LABELS = RESNET_G + 6 * 9 * 2 * 256


def resnet_d(width: int) -> int:
    first = conv(3, width) + conv(width, width) + conv(3, width, 1)
    return first + 6 * conv(width, width) + conv(width, width, 1) + dense(width, 1)


# StyleGAN2, 512 channels: 7 convolutions with a style, a bias and a strength of the noise each, 4 image layers with a style.
STYLED = dense(512, 512) + conv(512, 512) + 1
STYLEGAN2_G = 2 * dense(512, 512) + 512 * 16 + 7 * STYLED + 4 * (dense(512, 512) + conv(512, 3, 1))
STYLEGAN2_D = conv(3, 512, 1) + 6 * conv(512, 512) + conv(513, 512) + dense(512 * 16, 512) + dense(512, 1)

# R3GAN: 8 blocks, inside 1,536 channels in 96 groups of 16; no bias but those two. Labels: an embedding.
INVERTED = dense(768, 1536) + 1536 * 16 * 9 + 1536 + 1536 * 768
R3GAN_G = 10 * 64 + 2 * 64 * 768 + 768 * 16 + 8 * INVERTED + 768 * 3
R3GAN_D = 3 * 768 + 8 * INVERTED + 768 * 16 + 768 * 768 + 10 * 768

# DCGAN of width 128, 4 x 4 kernels: 100 -> 512 -> 256 -> 128 -> 3 and back, a gain and a bias in place of a bias.
DCGAN_G = 100 * 512 * 16 + 16 * (512 * 256 + 256 * 128) + 2 * (512 + 256 + 128) + conv(128, 3, 4)
DCGAN_D = conv(3, 128, 4) + 16 * (128 * 256 + 256 * 512) + 2 * (256 + 512) + dense(512 * 16, 1)


class Recipe(NamedTuple):
    batch: int
    d_steps: int
    updates: int  # of the generator
    parameters: tuple[int, int]  # of generator and discriminator
    loss: float  # of the discriminator where D(x) = 2 and D(G(z)) = -1
    g_rates: dict[int, tuple[float, float]]  # images seen -> learning rate and second beta
    d_rates: dict[int, tuple[float, float]]


MIMICRY = {0: (2e-4, 0.9), 16_000_000: (1e-4, 0.9), 32_000_000: (0.0, 0.9)}
BIGGAN = {0: (2e-4, 0.999), 50_000_000: (2e-4, 0.999)}
STYLEGAN2 = {0: (2e-3, 0.992), 100_000_000: (2e-3, 0.992)}, {0: (2.5e-3, 0.99), 100_000_000: (2.5e-3, 0.99)}
R3GAN = {0: (2e-4, 0.9), 10_000_000: (1.25e-4, 0.945), 20_000_000: (5e-5, 0.99), 250_000_000: (5e-5, 0.99)}
CROSS_ENTROPY = 0.126928 + 0.313262  # log(1 + e^-2) + log(1 + e^-1)
RECIPES = {
    "dcgan_cifar10": Recipe(64, 5, 100_000, (DCGAN_G, DCGAN_D), CROSS_ENTROPY, MIMICRY, MIMICRY),
    "wgan_gp_cifar10": Recipe(64, 5, 100_000, (RESNET_G, resnet_d(128)), -3.0, MIMICRY, MIMICRY),
    "sngan_cifar10": Recipe(64, 5, 100_000, (RESNET_G, resnet_d(128)), 0.0, MIMICRY, MIMICRY),
    "cgan_pd_cifar10": Recipe(64, 5, 100_000, (RESNET_G_LABELS, resnet_d(128) + 10 * 128), 0.0, MIMICRY, MIMICRY),
    "biggan_diffaugment_cifar10": Recipe(50, 4, 250_000, (RESNET_G_LABELS, resnet_d(256) + 10 * 256), 0.0, BIGGAN, BIGGAN),
    "stylegan2_ada_cifar10": Recipe(64, 1, 1_562_500, (STYLEGAN2_G, STYLEGAN2_D), CROSS_ENTROPY, *STYLEGAN2),
    "r3gan_cifar10": Recipe(512, 1, 488_281, (R3GAN_G, R3GAN_D), 0.048587, R3GAN, R3GAN),  # log(1 + e^-3)
}


ONE_LOSS = "flow_cifar10", "edm_cifar10", "image_transformer_cifar10"  # their own tests are below


@pytest.fixture(params=RECIPES)
def name(request: Any) -> str:
    return request.param


@pytest.fixture
def config(name: str, compose: Any) -> dict[str, Any]:
    return compose(f"experiment={name}")


def test_every_recipe_is_here_and_says_where_it_comes_from() -> None:
    assert {path.stem for path in EXPERIMENTS.glob("*_cifar10.yaml")} == {*RECIPES, *ONE_LOSS}
    for name in (*RECIPES, *ONE_LOSS):
        text = (EXPERIMENTS / f"{name}.yaml").read_text(encoding="utf-8")
        assert all(f"# {word}" in text for word in ("Published:", "Source:", "Deviations:", "FID here", "Reproduced here: no"))


def test_data_and_number_of_updates(name: str, config: dict[str, Any]) -> None:
    recipe, model = RECIPES[name], config["model"]
    assert config["data"]["name"] == "cifar10"
    assert (config["data"]["batch_size"], model["d_steps"]) == (recipe.batch, recipe.d_steps)
    samples_per_update = recipe.batch * recipe.d_steps
    assert Experiment(config).stop.last_step(45_000, samples_per_update) == (recipe.updates, "samples")


def test_parameter_counts(name: str, config: dict[str, Any]) -> None:
    networks = [instantiate(config["model"][part], part)(spec=CIFAR) for part in ("generator", "discriminator")]
    assert (
        tuple(sum(parameter.numel() for parameter in network.parameters()) for network in networks) == RECIPES[name].parameters
    )


def test_rates_and_betas_follow_the_samples_seen(name: str, config: dict[str, Any]) -> None:
    networks = {"generator": partial(MLPGenerator, widths=[2]), "discriminator": partial(MLPDiscriminator, widths=[2])}
    model = instantiate(config["model"], "model")(spec=CIFAR, seed=0, **networks)  # as configured, but for small networks
    optimizers = model.configure_optimizers()
    for optimizer, rates in zip(optimizers, (RECIPES[name].g_rates, RECIPES[name].d_rates), strict=True):
        for images, (rate, beta2) in rates.items():
            model.samples_seen = images
            model.set_rates(*optimizers)
            (group,) = optimizer.param_groups
            assert group["lr"] == pytest.approx(rate, rel=1e-9, abs=1e-15)
            assert group["betas"] == pytest.approx((0.0, beta2), rel=1e-9)


def test_the_loss(name: str, config: dict[str, Any]) -> None:
    loss = instantiate(config["loss"], "loss").discriminator(torch.tensor([2.0]), torch.tensor([-1.0]))
    assert loss.item() == pytest.approx(RECIPES[name].loss, abs=1e-5)


class Slope(nn.Module):
    """D(x) = c . x with |c| = 3, everywhere."""

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return 3 * x.flatten(1).mean(1) * x[0].numel() ** 0.5


@pytest.mark.parametrize(
    ("name", "every", "expected"),
    [
        ("wgan_gp_cifar10", 1, {0: 10 * (3 - 1) ** 2, 32_000_000: 40.0}),
        ("stylegan2_ada_cifar10", 16, {0: 0.01 / 2 * 9, 100_000_000: 0.045}),
        # R1 and R2; gamma on a cosine over 20 million images.
        ("r3gan_cifar10", 1, {0: 2 * 0.05 / 2 * 9, 10_000_000: 0.0275 * 9, 20_000_000: 0.045, 250_000_000: 0.045}),
    ],
)
def test_penalties_by_hand(name: str, every: int, expected: dict[int, float], compose: Any) -> None:
    """What a penalty adds to the loss, on average over the steps, where the gradient's norm is 3."""
    found = instantiate(compose(f"experiment={name}")["model"]["penalties"], "penalties").values()
    penalties = [penalty for penalty in found if penalty]
    assert {penalty.every for penalty in penalties} == {every}
    real, fake = torch.zeros(2, 4, *CIFAR.shape, requires_grad=True).unbind()
    for images, value in expected.items():
        update = Update(nn.Identity(), Slope(), real, None, real, fake, Slope()(real), Slope()(fake), images)
        assert sum(penalty(update).item() / every for penalty in penalties) == pytest.approx(value, rel=1e-5)


@pytest.mark.parametrize("name", ["dcgan_cifar10", "sngan_cifar10", "cgan_pd_cifar10", "biggan_diffaugment_cifar10"])
def test_no_other_penalties(name: str, compose: Any) -> None:
    assert compose(f"experiment={name}")["model"]["penalties"] is None


def test_generators_have_no_penalties(config: dict[str, Any]) -> None:
    assert config["model"]["g_penalties"] is None


@pytest.mark.parametrize(
    ("name", "images", "decays"),
    [
        ("biggan_diffaugment_cifar10", 200, {2_000_000: 0.9999, 50_000_000: 0.9999}),
        ("stylegan2_ada_cifar10", 64, {1_000_000: 0.5 ** (64 / 50_000), 100_000_000: 0.5 ** (64 / 500_000)}),
        # Where the cosine from 0 to 5 million and its line meet.
        (
            "r3gan_cifar10",
            512,
            {0: 0.0, 10_000_000: 0.5 ** (512 / 2.5e6), 20_000_000: 0.5 ** (512 / 5e6), 10**8: 0.5 ** (512 / 5e6)},
        ),
    ],
)
def test_averages_of_the_weights(name: str, images: int, decays: dict[int, float], compose: Any) -> None:
    """What is left of an old weight after one update."""
    network = nn.Linear(1, 1, bias=False).double()
    ema = instantiate(compose(f"experiment={name}")["model"]["ema"], "ema")(network)
    nn.init.zeros_(network.weight)
    for seen, decay in decays.items():
        nn.init.ones_(ema.network.weight)
        ema.update(network, images, seen)
        assert ema.network.weight.item() == pytest.approx(decay, abs=1e-9)


@pytest.mark.parametrize("name", ["dcgan_cifar10", "wgan_gp_cifar10", "sngan_cifar10", "cgan_pd_cifar10"])
def test_mimicry_keeps_no_average_and_augments_nothing(name: str, compose: Any) -> None:
    model = compose(f"experiment={name}")["model"]
    assert model["ema"] is None
    assert model["augment"] is None


def test_augmentations(compose: Any) -> None:
    def augmentation(name: str) -> Any:
        return instantiate(compose(f"experiment={name}")["model"]["augment"], "augment")

    def p_after(augment: Any, logit: float, images: int) -> float:
        for _ in range(4):  # updates to each step of p
            augment.observe(torch.full((8,), logit), images // 4)
        return augment.p.item()

    translation, cutout = augmentation("biggan_diffaugment_cifar10").sizes  # no colour
    assert (translation, cutout) == (2, 2)
    ada = augmentation("stylegan2_ada_cifar10")
    assert len(ada.sizes) == 8 + 5  # "bgc": 3 of blit, 5 of geometry (rotations count twice), 5 of colour
    assert p_after(ada, 1.0, 400_000) == pytest.approx(0.8)  # r_t = 1 > 0.6
    assert p_after(ada, -1.0, 100_000) == pytest.approx(0.6)
    assert p_after(augmentation("r3gan_cifar10"), -1.0, 250_000_000) == pytest.approx(0.55, rel=1e-5)


# The U-Net: a residual block has two convolutions, their norms, what the embedding does, and a shortcut where channels change.
def residual(inputs: int, outputs: int, embedding: int) -> int:
    inside = 2 * inputs + conv(inputs, outputs) + dense(embedding, 2 * outputs) + 2 * outputs + conv(outputs, outputs)
    return inside + (conv(inputs, outputs, 1) if inputs != outputs else 0)


def attention(channels: int) -> int:
    return 2 * channels + dense(channels, 3 * channels) + dense(channels, channels)


def embedded(width: int, classes: int) -> int:
    return dense(32, 4 * width) + dense(4 * width, 4 * width) + (classes + 1) * 4 * width * bool(classes)


# Flow: 256 channels at side 32, 512 below, two blocks on each way; attention follows the blocks at side 16.
FLOW = (
    embedded(256, 0) + conv(3, 256) + 2 * residual(256, 256, 1024)
    + residual(256, 512, 1024) + 5 * residual(512, 512, 1024) + 4 * attention(512)
    + conv(256, 256) + 2 * conv(512, 512) + 2 * conv(512, 512, 1) + conv(512, 256, 1)
    + 2 * (residual(1024, 512, 1024) + residual(512, 512, 1024)) + residual(512, 256, 1024) + residual(256, 256, 1024)
    + 2 * 256 + conv(256, 3)
)  # fmt: skip
# EDM: 256 channels at sides 32, 16 and 8, four blocks on each way.
EDM = (
    embedded(128, 10) + conv(3, 128) + residual(128, 256, 512) + 11 * residual(256, 256, 512) + 8 * attention(256)
    + 2 * conv(256, 256) + 2 * conv(256, 256, 1) + 2 * (residual(512, 256, 512) + 3 * residual(256, 256, 512))
    + 2 * 256 + conv(256, 3)
)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "batch", "updates", "parameters", "rates", "nfe"),
    [
        (
            "flow_cifar10",
            256,
            391_000,
            FLOW,
            {0: 0.0, 5_760_000: 2.5e-4, 11_520_000: 5e-4, 55_808_000: 2.5e-4, 100_096_000: 0.0},
            142,
        ),
        ("edm_cifar10", 512, 390_625, EDM, {0: 0.0, 5_000_000: 5e-4, 10_000_000: 1e-3, 200_000_000: 1e-3}, 35),
    ],
)
def test_recipes_of_one_loss(
    name: str, batch: int, updates: int, parameters: int, rates: dict[int, float], nfe: int, compose: Any
) -> None:
    config = compose(f"experiment={name}")
    assert config["data"]["batch_size"] == batch
    assert Experiment(config).stop.last_step(45_000, batch) == (updates, "samples")
    with torch.device("meta"):
        network = instantiate(config["model"]["network"], "network")(spec=CIFAR, conditional=config["model"]["conditional"])
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters
    factor = instantiate(config["model"]["lr_schedule"], "lr_schedule")
    rate = config["model"]["optimizer"]["lr"]
    assert {images: rate * factor(images) for images in rates} == pytest.approx(rates)
    assert (config["model"]["solver"], config["model"]["nfe"]) == ("heun", nfe)


def test_importance_weighted_autoencoder(compose: Any) -> None:
    """Burda et al. 2016: 784 - 200 - 200 - 50 and back; 3^i passes at 0.001 * 10^(-i / 7)."""
    config = compose("experiment=iwae_binary_mnist")
    spec = Spec({"x": Field("image", (1, 28, 28), "uint8", levels=2)})
    model = instantiate(config["model"], "model")(spec=spec, seed=0)
    encoder = dense(784, 200) + dense(200, 200) + dense(200, 2 * 50)
    decoder = dense(50, 200) + dense(200, 200) + dense(200, 784)
    assert sum(parameter.numel() for parameter in model.learner.parameters()) == encoder + decoder
    assert Experiment(config).stop.last_step(55_000, 20) == (3280 * 55_000 // 20, "samples")
    assert (model.importance_samples, model.bound) == (50, "IWAE, K = 5000")
    (optimizer,) = model.configure_optimizers()
    (group,) = optimizer.param_groups
    assert (group["betas"], group["eps"], group["weight_decay"]) == ((0.9, 0.999), 1e-4, 0.0)
    for passes, power in {0: 0, 1: 1, 3.9: 1, 4: 2, 12.9: 2, 13: 3, 1093: 7, 3279.9: 7}.items():
        assert config["model"]["optimizer"]["lr"] * model._lr_schedule(int(passes * 55_000)) == pytest.approx(
            1e-3 * 10 ** (-power / 7), rel=1e-5
        )


# Image Transformer: 12 layers of 256 channels with perceptrons of 1,024 and two norms each, a last norm, a start symbol, 1,024
# positions. Each position gets 4 pixels of 3 channels; a channel's hidden layer sees these, the pixel's channels
# and the context.
LAYER = dense(256, 3 * 256) + dense(256, 256) + dense(256, 1024) + dense(1024, 256) + 2 * 2 * 256
HEAD = dense(5 * 3 + 256, 3 * 256) + dense(256, 3 * 10)
IMAGE_TRANSFORMER = dense(4 * 3, 256) + 12 * LAYER + 2 * 256 + 256 + 1024 * 256 + HEAD


def test_image_transformer(compose: Any) -> None:
    config = compose("experiment=image_transformer_cifar10")
    batch = config["data"]["batch_size"]
    assert (config["data"]["name"], config["evaluation"]["_target_"].rpartition(".")[2]) == ("cifar10", "LikelihoodSuite")
    assert Experiment(config).stop.last_step(45_000, batch) == (500_000, "samples")
    network = instantiate(config["model"]["network"], "network")(spec=CIFAR, conditional=config["model"]["conditional"])
    assert sum(parameter.numel() for parameter in network.parameters()) == IMAGE_TRANSFORMER
