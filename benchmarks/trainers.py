"""The alternatives of `benchmarks.peers`: each is called with its checkout and a clock, and trains for `clock.total` updates.

Their code is not changed. Updates are counted from outside: by a trainer's output, its requests for batches or its calls.
"""

import contextlib
import io
import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from packaging import version
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision import transforms

from benchmarks import ours, timing
from benchmarks.borrowed import run_script
from benchmarks.data import Noise
from benchmarks.timing import Clock

CIFAR = (3, 32, 32)
BATCH = 64
WIDTHS, GROUPS, BLOCKS, R3GAN_BATCH = [96] * 4, [12] * 4, 2, 32  # R3GAN's CIFAR-10 preset with an eighth of the channels


class Finished(BaseException):
    """Raised after enough updates to leave a foreign training loop. Not an Exception, which that loop may catch."""


class Ticking(io.TextIOBase):
    """A standard output that counts each line with this mark at its start as an update."""

    def __init__(self, clock: Clock, mark: str) -> None:
        self.clock, self.mark = clock, mark

    def write(self, text: str) -> int:
        if text.startswith(self.mark):
            self.clock.tick()
            if len(self.clock.ticks) == self.clock.total:
                raise Finished
        return len(text)


@contextlib.contextmanager
def ticking(clock: Clock, mark: str) -> Iterator[None]:
    with contextlib.suppress(Finished), contextlib.redirect_stdout(Ticking(clock, mark)):
        yield


@contextlib.contextmanager
def importing(checkout: Path, **missing: Any) -> Iterator[None]:
    """Import from a checkout; `missing` replaces modules that may not be installed and do nothing that is measured."""
    absent = {name: module for name, module in missing.items() if name not in sys.modules}
    sys.modules.update(absent)
    try:
        with mock.patch.object(sys, "path", [str(checkout), *sys.path]):
            yield
    finally:
        for name in absent:
            del sys.modules[name]


def loader(shape: tuple[int, ...]) -> DataLoader:
    """A loader like the alternatives' for CIFAR-10: array to PIL image, to tensor, to [-1, 1], one image at a time."""
    split = Noise(shape).split("train")
    x, y = split["x"], split["y"]
    prepare = transforms.Compose([transforms.ToPILImage(), transforms.ToTensor(), transforms.Normalize((0.5,), (0.5,))])

    class Images(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return len(x)

        def __getitem__(self, number: int) -> tuple[Tensor, int]:
            return prepare(x[number].transpose(1, 2, 0)), int(y[number])

    return DataLoader(Images(), batch_size=BATCH, shuffle=True, drop_last=True)


def pytorch_gan(
    script: str, *words: str, networks: Callable[[], tuple[nn.Module, nn.Module]] | None = None
) -> Callable[[Path, Clock], None]:
    """One of PyTorch-GAN's scripts, on MNIST's files, until it has printed enough updates.

    networks: returns generator and discriminator, which replace the script's first and second `nn.Sequential`.
    """

    def run(checkout: Path, clock: Clock) -> None:
        patch = mock.patch.object(nn, "Sequential", side_effect=networks()) if networks else contextlib.nullcontext()
        with ticking(clock, "[Epoch"), patch:
            run_script(checkout / "implementations" / script, *words)

    return run


def listing() -> tuple[nn.Module, nn.Module]:
    """The networks of experiment=mlp_gan_listing; the discriminator has the sigmoid that gan.py's loss needs."""

    def stack(*sizes: int, last: nn.Module) -> nn.Module:
        layers = [(nn.Linear(a, b, bias=False), nn.LeakyReLU(0.2, inplace=True)) for a, b in itertools.pairwise(sizes)]
        return nn.Sequential(*itertools.chain.from_iterable(layers))[:-1].append(last)

    return stack(100, 256, 128, 784, last=nn.Tanh()), stack(784, 256, 128, 1, last=nn.Sigmoid())


def mimicry(kind: str, name: str) -> Callable[[Path, Clock], None]:
    """mimicry's Trainer with the networks, optimizers and settings of its README."""

    def run(checkout: Path, clock: Clock) -> None:
        missing = {name: mock.MagicMock() for name in ("torch.utils.tensorboard", "skimage", "torch_mimicry.metrics")}
        with tempfile.TemporaryDirectory() as folder, importing(checkout, **missing):
            from torch_mimicry import nets, training

            module = getattr(nets, kind)
            g, d = getattr(module, f"{name}Generator32")(), getattr(module, f"{name}Discriminator32")()
            trainer = training.Trainer(
                netD=d,
                netG=g,
                optD=torch.optim.Adam(d.parameters(), 2e-4, betas=(0.0, 0.9)),
                optG=torch.optim.Adam(g.parameters(), 2e-4, betas=(0.0, 0.9)),
                n_dis=5,
                num_steps=clock.total,
                lr_decay="linear",
                dataloader=loader(CIFAR),
                log_dir=folder,
                device=torch.device("cpu"),
            )
            with ticking(clock, "INFO: [Epoch"):
                trainer.train()

    return run


def torchgan(checkout: Path, clock: Clock) -> None:
    """torchgan's Trainer with its DCGAN and its minimax losses, all at their defaults."""
    with tempfile.TemporaryDirectory() as folder, importing(checkout), contextlib.chdir(folder), timing.quiet():
        os.environ["TENSORBOARD_LOGGING"] = os.environ["VISDOM_LOGGING"] = "0"
        from torchgan.losses import MinimaxDiscriminatorLoss, MinimaxGeneratorLoss
        from torchgan.models import DCGANDiscriminator, DCGANGenerator
        from torchgan.trainer import Trainer

        optimizer = {"name": torch.optim.Adam, "args": {"lr": 2e-4, "betas": (0.5, 0.999)}}
        trainer = Trainer(
            {
                "generator": {"name": DCGANGenerator, "optimizer": optimizer},
                "discriminator": {"name": DCGANDiscriminator, "optimizer": optimizer},
            },
            [MinimaxGeneratorLoss(), MinimaxDiscriminatorLoss()],
            device=torch.device("cpu"),
            epochs=1,
        )
        batches = Ticked(loader(CIFAR), clock)
        with contextlib.suppress(Finished):
            trainer(batches)


class Ticked:
    """An endless loader. A request for the next batch means that an update has ended."""

    def __init__(self, inner: Iterable[Any], clock: Clock) -> None:
        self.inner, self.clock, self.batch_size = inner, clock, getattr(inner, "batch_size", None)

    def __iter__(self) -> Iterator[Any]:
        for batch in itertools.chain.from_iterable(itertools.repeat(self.inner)):
            yield batch
            self.clock.tick()
            if len(self.clock.ticks) == self.clock.total:
                raise Finished


def r3gan(checkout: Path, clock: Clock) -> None:
    """R3GAN's networks and Trainer, called as in its training loop, which needs CUDA."""
    with importing(checkout, pkg_resources=mock.MagicMock(parse_version=version.parse)):
        from R3GAN.Networks import Discriminator, Generator
        from R3GAN.Trainer import AdversarialTraining

    g = Generator(64, WIDTHS, GROUPS, [BLOCKS] * 4, ExpansionFactor=2)
    d = Discriminator(WIDTHS, GROUPS, [BLOCKS] * 4, ExpansionFactor=2)
    trainer = AdversarialTraining(g, d)
    optimizers = [torch.optim.Adam(network.parameters(), 2e-4, betas=(0.0, 0.9)) for network in (g, d)]
    x = torch.from_numpy(Noise(CIFAR).split("train")["x"])
    average = [p.detach().clone() for p in g.parameters()]
    for _ in range(clock.total):
        for network, other, optimizer in ((d, g, optimizers[1]), (g, d, optimizers[0])):
            real = x[torch.randint(len(x), (R3GAN_BATCH,))].float() / 127.5 - 1
            z = torch.randn(R3GAN_BATCH, 64)
            optimizer.zero_grad(set_to_none=True)
            network.requires_grad_(True)
            other.requires_grad_(False)
            if network is d:
                trainer.AccumulateDiscriminatorGradients(z, real, None, 0.05)
            else:
                trainer.AccumulateGeneratorGradients(z, real, None)
            optimizer.step()
        with torch.no_grad():
            for a, p in zip(average, g.parameters(), strict=True):
                a.copy_(p.lerp(a, 0.999))
        clock.tick()


def tensorflow(*words: str) -> Callable[[Path, Clock], None]:
    """The TensorFlow listing, in its own process."""

    def run(python: Path, clock: Clock) -> None:
        images = ours.ROOT / "data" / "mnist" / "train-images-idx3-ubyte"
        command = [
            python,
            Path(__file__).with_name("tensorflow_listing.py"),
            images,
            clock.total,
            torch.get_num_threads(),
            *words,
        ]
        answer = subprocess.run([*map(str, command)], check=True, capture_output=True, text=True)
        clock.ticks = json.loads(answer.stdout.splitlines()[-1])

    return run
