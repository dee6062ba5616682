"""Our command-line words for the same work as each alternative of `benchmarks.peers`; each is called with its checkout."""

from collections.abc import Callable
from pathlib import Path

from benchmarks import ours
from benchmarks.trainers import BATCH, BLOCKS, CIFAR, GROUPS, R3GAN_BATCH, WIDTHS

CHANNELS_1 = (1, 32, 32)
FIXED = ["model.ema=null", "model.lr_schedule=null", "model.penalties=null", f"data.batch_size={BATCH}"]


def our_mlp(checkout: Path) -> list[str]:
    return [
        *("model=mlp_gan", *FIXED, "data.batch_size=32", "model.augment=null", "model.generator.z_dim=100"),
        *(
            "model.generator.widths=[128,256,512,1024]",
            "model.discriminator.widths=[512,256]",
            "model.discriminator.offset=0.0",
        ),
        *("model.g_optimizer.lr=2e-4", "model.g_optimizer.betas=[0.5,0.999]"),
        *("model.d_optimizer.lr=2e-4", "model.d_optimizer.betas=[0.5,0.999]"),
    ]


def our_borrowed(checkout: Path) -> list[str]:
    script = checkout / "implementations" / "dcgan" / "dcgan.py"
    networks = [
        word
        for name in ("generator", "discriminator")
        for word in (
            f"model.{name}._target_=benchmarks.borrowed.{name.title()}",
            f"+model.{name}.script='{script}'",
            *(f"~model.{name}.{key}" for key in ("width", "conditional")),
        )
    ]
    return [
        *("model=dcgan", *FIXED, *ours.synthetic(*CHANNELS_1), *networks, "~model.generator.z_dim"),
        *(f"~model.discriminator.{key}" for key in ("batch_norm", "spectral_norm", "auxiliary")),
    ]


def our_resnet(*words: str) -> Callable[[Path], list[str]]:
    return lambda checkout: [
        *("experiment=sngan_cifar10", *ours.synthetic(*CIFAR), f"data.batch_size={BATCH}", "trainer.block=1"),
        *words,
    ]


def our_dcgan(checkout: Path) -> list[str]:
    return [
        *("model=dcgan", *FIXED, *ours.synthetic(*CIFAR), "model.generator.z_dim=100", "model.generator.width=64"),
        *("model.discriminator.width=64", "model.discriminator.batch_norm=true"),
    ]


def our_r3gan(checkout: Path) -> list[str]:
    shape = [
        f"{key}={value}".replace(" ", "") for key, value in (("widths", WIDTHS), ("cardinality", GROUPS), ("blocks", BLOCKS))
    ]
    return [
        *("model=r3gan", *ours.synthetic(*CIFAR), f"data.batch_size={R3GAN_BATCH}", "model.lr_schedule=null"),
        *(f"model.{network}.{words}" for network in ("generator", "discriminator") for words in shape),
        *("model.penalties.r1.function._target_=src.models.gan.regularizers.r1_r2", "model.penalties.r1.every=1"),
        *("model.penalties.r2=null", "trainer.block=1", "trainer.channels_last=false"),
    ]


def our_listing(python: Path) -> list[str]:
    return ["experiment=mlp_gan_listing", "trainer.matmul_precision=auto"]
