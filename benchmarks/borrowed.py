"""Run PyTorch-GAN's scripts from their checkout, and lend the networks of dcgan.py to our training: equal on both sides."""

import contextlib
import runpy
import sys
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

from torch import Tensor, nn

from benchmarks.timing import quiet
from src.data.mnist import MNIST
from src.data.spec import Spec

DATA = Path(__file__).parent.parent / "data" / "mnist"


def run_script(script: Path, *words: str) -> dict[str, Any]:
    """Run `python script words` in a new folder, where torchvision finds MNIST and downloads nothing. Returns its globals."""
    with tempfile.TemporaryDirectory() as folder:
        work, raw = Path(folder, "implementations", "it"), Path(folder, "data", "mnist", "MNIST", "raw")
        work.mkdir(parents=True)
        raw.mkdir(parents=True)
        for name in MNIST.files:
            (raw / name).symlink_to(DATA / name)
        with contextlib.chdir(work), mock.patch.object(sys, "argv", [str(script), *words]):
            return runpy.run_path(str(script), run_name="__main__")


def networks(script: str, spec: Spec) -> dict[str, Any]:
    """The script's globals after zero epochs, with networks for images of this shape."""
    channels, side, _ = spec.shape
    with quiet():
        return run_script(Path(script), "--n_epochs", "0", "--channels", str(channels), "--img_size", str(side))


class Generator(nn.Module):
    def __init__(self, spec: Spec, script: str) -> None:
        super().__init__()
        found = networks(script, spec)
        self.z_dim, self.classes = found["opt"].latent_dim, 0
        self.network = found["generator"]

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """z [B, z_dim] to images [B, *shape] in [-1, 1]; y is ignored."""
        return self.network(z)


class Discriminator(nn.Module):
    """The script's discriminator without its final sigmoid, which belongs to the loss here."""

    def __init__(self, spec: Spec, script: str) -> None:
        super().__init__()
        found = networks(script, spec)["discriminator"]
        self.features, self.head = found.model, found.adv_layer[0]

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Images [B, *shape] in [-1, 1] to logits [B]; y is ignored."""
        return self.head(self.features(x).flatten(1)).squeeze(1)
