"""python -m benchmarks.peers --mimicry PATH --pytorch-gan PATH ...: our whole pipeline against others, as they are published.

Each alternative runs from a checkout of its repository, whose code is not changed; parts that do not run on this machine are
replaced from outside (`adapted` of each case). Networks and batch are the same on both sides, the data are MNIST or noise in
the data set's shape, and nothing is downloaded. Figures are milliseconds per update, of GANs per generator update with its
discriminator updates. Both sides are measured without start-up, first updates, checkpoints and pictures, but with logging and
progress. The floor is that of benchmarks.train_step.

The checkouts; any may be left out:

    git clone https://github.com/eriklindernoren/PyTorch-GAN      --pytorch-gan
    git clone https://github.com/kwotsin/mimicry                  --mimicry
    git clone https://github.com/torchgan/torchgan                --torchgan
    git clone https://github.com/brownvc/R3GAN                    --r3gan
    git clone https://github.com/lucidrains/denoising-diffusion-pytorch      --denoising-diffusion
    git clone https://github.com/clementchadebec/benchmark_VAE    --pythae
    git clone https://github.com/karpathy/nanoGPT                 --nanogpt
    git clone https://github.com/junyanz/pytorch-CycleGAN-and-pix2pix        --pix2pix (measured at commit 003efc4)
    git clone https://github.com/williamSYSU/TextGAN-PyTorch      --textgan
    pip install --no-deps --target open_clip open-clip-torch==3.3.0 timm ftfy wcwidth      --open-clip
    git clone https://github.com/tobran/DF-GAN                    --df-gan (measured at commit 78f14fd)

denoising-diffusion-pytorch needs accelerate, einops and ema-pytorch, and pythae imageio, which the lock file does not have.

`--tensorflow PYTHON` is a Python with TensorFlow, for the listing at the start of this project's story.
"""

import functools
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks import ours, timing
from benchmarks.caption_trainers import CLIP, DF_GAN, LAZY_DF_GAN, df_gan, open_clip
from benchmarks.family_trainers import BINARY_VAE, DIFFUSION, LETTERS, denoising_diffusion, nanogpt, pythae
from benchmarks.our_words import our_borrowed, our_dcgan, our_listing, our_mlp, our_r3gan, our_resnet
from benchmarks.products import products
from benchmarks.text_trainers import RELGAN, relgan
from benchmarks.timing import Clock
from benchmarks.trainers import listing, mimicry, pytorch_gan, r3gan, tensorflow, torchgan
from benchmarks.translation_trainers import CYCLEGAN, PIX2PIX, translation

PROTOCOL = """Each alternative from its own checkout, its training step unmodified, in turn with ours, forwards and backwards,
medians over the rounds, ratios by the round; one process; start-up, first updates, checkpoints and pictures left out, logging
and progress not; same networks, batch and discriminator updates on both sides; ours updates the generator by the last fakes of
the discriminator's update, where mimicry and R3GAN draw new ones (7 and 3 % of their arithmetic); MNIST, noise in the shape of
CIFAR-10, or a text.
products: the matrix products and convolutions of an update, its penalties among them, alone and as precise as ours."""


@dataclass(frozen=True)
class Case:
    """One alternative.

    checkout: option with its path. ours: words of `python -m src.train` for the same work.
    run: (checkout, clock) trains until the clock has counted enough updates. updates: a number that takes some seconds.
    adapted: differences from the published code. reach: target for ours / theirs, at most. bf16: ours in bf16-mixed too.
    floor: whether the products of ours are measured too.
    """

    name: str
    checkout: str
    ours: Callable[[Path], list[str]]
    run: Callable[[Path, Clock], None]
    updates: int
    adapted: str
    reach: float | None = None
    bf16: bool = False
    floor: bool = True


LOADED = "noise through the same transforms for CIFAR-10, in the main process, and no TensorBoard"
MENDED = "the loss gets labels and logits in their places"
TRANSLATED = "our networks, emoji of 64 x 64 as PNGs, which the training process reads; no flips, no visdom and no HTML"
CAPTIONED = (
    "its networks in the sizes of ours, on the CPU, and its optimizers; emoji of 32 x 32 as floats in memory, not augmented; "
    "its encoder of captions is kept as it is, ours are two and are trained; its penalty is the paper's"
)
CASES = {
    "tensorflow": Case("the TensorFlow listing", "tensorflow", our_listing, tensorflow(), 400, MENDED),
    "tensorflow-function": Case(
        "the TensorFlow listing as tf.function", "tensorflow", our_listing, tensorflow("function"), 2000, MENDED
    ),
    "gan-listing": Case(
        "PyTorch-GAN gan.py, the listing's networks",
        "pytorch_gan",
        our_listing,
        pytorch_gan("gan/gan.py", "--batch_size", "32", networks=listing),
        1000,
        "the listing's networks and batch in the place of its own",
        reach=0.35,
    ),
    "gan": Case(
        "PyTorch-GAN gan.py",
        "pytorch_gan",
        our_mlp,
        pytorch_gan("gan/gan.py", "--batch_size", "32"),
        400,
        "nothing (ours has a batch norm more, and no biases ahead of batch norms)",
        reach=0.35,
        bf16=True,
    ),
    "dcgan": Case(
        "PyTorch-GAN dcgan.py",
        "pytorch_gan",
        our_borrowed,
        pytorch_gan("dcgan/dcgan.py"),
        12,
        "nothing (ours trains the script's own networks, on noise in the shape of its 32 x 32 digits)",
    ),
    "mimicry-dcgan": Case(
        "mimicry, DCGAN 32",
        "mimicry",
        our_resnet("loss=non_saturating", "+model.discriminator.spectral_norm=false"),
        mimicry("dcgan", "DCGAN"),
        1,
        LOADED,
        reach=0.6,
        bf16=True,
    ),
    "mimicry-sngan": Case(
        "mimicry, SNGAN 32", "mimicry", our_resnet(), mimicry("sngan", "SNGAN"), 1, LOADED, reach=0.6, bf16=True
    ),
    "torchgan": Case("torchgan, DCGAN 32", "torchgan", our_dcgan, torchgan, 25, LOADED),
    "r3gan": Case(
        "R3GAN, an eighth of the channels",
        "r3gan",
        our_r3gan,
        r3gan,
        2,
        "its networks and its Trainer in a loop like its own, which needs CUDA; batch 32, float32, no augmentation",
    ),
    "denoising-diffusion": Case(
        "denoising-diffusion-pytorch's Trainer, EDM",
        "denoising_diffusion",
        lambda checkout: DIFFUSION,
        denoising_diffusion,
        150,
        "our U-Net, digits in a folder of PNGs, which it reads with a process per core, no flips; it averages weights at every "
        "tenth update, ours at each",
        reach=1.0,
    ),
    "denoising-diffusion-single": Case(
        "denoising-diffusion-pytorch's Trainer in one process",
        "denoising_diffusion",
        lambda checkout: DIFFUSION,
        functools.partial(denoising_diffusion, loaders=0),
        150,
        "the same, images read by the training process",
        reach=1.0,
    ),
    "pythae": Case(
        "pythae's BaseTrainer, VAE",
        "pythae",
        lambda checkout: BINARY_VAE,
        pythae,
        300,
        "our encoder and decoder, black-and-white digits as floats in memory",
        reach=1.0,
    ),
    "nanogpt": Case(
        "nanoGPT's train.py",
        "nanogpt",
        lambda checkout: LETTERS,
        nanogpt,
        60,
        "its README's settings for a CPU, with biases as ours; it learns its positions, ours are rotary",
        reach=1.0,
    ),
    "textgan": Case(
        "TextGAN-PyTorch's RelGAN",
        "textgan",
        lambda checkout: RELGAN,
        relgan,
        3,
        "quatrains in memory; its relational memory as wide as our transformer, its discriminator in the sizes of ours; one "
        "update of each network; it draws texts for either, ours once for both, and computes them again for the gradient",
        floor=False,
    ),
    "pix2pix": Case(
        "pytorch-CycleGAN-and-pix2pix, pix2pix",
        "pix2pix",
        lambda checkout: PIX2PIX,
        translation(PIX2PIX),
        40,
        TRANSLATED,
        reach=0.8,
        floor=False,
    ),
    "cyclegan": Case(
        "pytorch-CycleGAN-and-pix2pix, CycleGAN",
        "pix2pix",
        lambda checkout: CYCLEGAN,
        translation(CYCLEGAN),
        20,
        TRANSLATED,
        reach=0.8,
        floor=False,
    ),
    "open-clip": Case(
        "open_clip's train_one_epoch",
        "open_clip",
        lambda checkout: CLIP,
        open_clip,
        20,
        "our towers and our optimizer, its loss and its loop; emoji of 64 x 64 as floats in memory, 128 of them a batch, not "
        "augmented on either side",
        reach=1.0,
        floor=False,
    ),
    "df-gan": Case("DF-GAN's train", "df_gan", lambda checkout: DF_GAN, df_gan, 20, CAPTIONED, reach=1.0, floor=False),
    "df-gan-lazy": Case(
        "DF-GAN's train, ours with its penalty at every fourth update",
        "df_gan",
        lambda checkout: LAZY_DF_GAN,
        df_gan,
        20,
        "as our recipe has it",
        reach=1.0,
        floor=False,
    ),
}


def milliseconds(case: Case, checkout: Path, updates: int, warmup: int) -> float:
    clock = Clock(warmup, updates)
    case.run(checkout, clock)
    return clock.milliseconds()


def main(words: list[str] | None = None) -> None:
    parser = timing.parser(__doc__, rounds=3)
    for option in dict.fromkeys(case.checkout for case in CASES.values()):
        metavar = "PYTHON" if option == "tensorflow" else "CHECKOUT"
        parser.add_argument(f"--{option.replace('_', '-')}", type=Path, metavar=metavar)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--updates", type=int, help="of each measurement; by default as many as take some seconds")
    timing.add_cpu(parser)
    arguments = parser.parse_args(words)
    unit = timing.use_clock(arguments.cpu)
    cases = [case for name in arguments.cases if getattr(arguments, (case := CASES[name]).checkout)]
    if not cases:
        parser.error("no checkout to run: clone one and say where it is, e.g. --pytorch-gan ../PyTorch-GAN")
    if arguments.cpu and any(case.checkout == "tensorflow" for case in cases):
        parser.error("--cpu counts this process alone, and TensorFlow runs in its own: leave out --tensorflow")
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # some use any GPU that they find
    rows = []
    for case in cases:
        checkout = getattr(arguments, case.checkout).absolute()
        updates = arguments.updates or case.updates
        warmup = max(1, updates // 10)
        settings = [*case.ours(checkout), f"trainer.threads={arguments.threads}"]
        config = ours.compose(*settings)
        figure, reach = f"one update as in {case.name}", {case.name: case.reach} if case.reach else {}
        ways = {
            "ours": functools.partial(ours.milliseconds, config, updates, warmup),
            case.name: functools.partial(milliseconds, case, checkout, updates, warmup),
            **({"products": functools.partial(products, config, updates, warmup)} if case.floor else {}),
        }
        if case.bf16:
            quick = ours.compose(*settings, "trainer.precision=bf16-mixed")
            ways["ours, bf16-mixed"] = functools.partial(ours.milliseconds, quick, updates, warmup)
        print(f"{case.name}, {updates} updates a time", file=sys.stderr)
        found = timing.alternate(ways, arguments.rounds, arguments.threads)
        half = found.pop("ours, bf16-mixed", None)
        rows += timing.compare(figure, unit, found, reach)
        if half:
            rows += timing.compare(f"{figure}, bf16-mixed", unit, {"ours": half, case.name: found[case.name]}, reach)
    adapted = "; ".join(f"{case.name}: {case.adapted}" for case in cases)
    timing.report("peers", f"{PROTOCOL} Adapted from outside: {adapted}.", rows, arguments)


if __name__ == "__main__":
    main()
