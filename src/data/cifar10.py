"""CIFAR-10: 60,000 colour images of 32 x 32 in ten classes, from the authors' archive."""

import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from src.data.clients import DvcRemote
from src.data.dataset import Arrays
from src.data.decoded import Decoded
from src.data.sources import Mirror, Source, get
from src.data.spec import Spec

ARCHIVE = "cifar-10-binary.tar.gz"
BATCHES = (*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin")


class CIFAR10:
    """Tiny photographs (Krizhevsky 2009, "Learning multiple layers of features from tiny images").

    Images are uint8 [N, 3, 32, 32], labels int64 0..9. The archive is the authors' binary version. It has the same images in
    the same order as the Python version, whose pickles could run code. It may be deleted after it is decoded.

    folder: for the archive and the decoded arrays; prepare() fills it.
    sources: where prepare() looks for a missing archive, in this order; None means `default_sources`.
    """

    name = "cifar10"
    classes: ClassVar[tuple[str, ...]] = (
        *("airplane", "automobile", "bird", "cat", "deer"),
        *("dog", "frog", "horse", "ship", "truck"),
    )
    # The SHA-256 from TensorFlow Datasets (tensorflow_datasets/url_checksums/cifar10.txt).
    files: ClassVar[dict[str, str]] = {ARCHIVE: "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"}
    default_sources: ClassVar[tuple[Source, ...]] = (
        DvcRemote(),
        Mirror("https://www.cs.toronto.edu/~kriz/", suffix=""),
        Mirror("https://cave.cs.toronto.edu/kriz/", suffix=""),
    )
    # The last 5,000 training images are the validation split.
    rows: ClassVar[dict[str, slice]] = {
        "train": slice(0, 45_000),
        "validation": slice(45_000, 50_000),
        "test": slice(50_000, 60_000),
    }

    def __init__(self, folder: str | Path, sources: Sequence[Source] | None = None) -> None:
        self.folder = Path(folder)
        self.sources = self.default_sources if sources is None else sources
        self.spec = Spec.of("image", (3, 32, 32), self.classes)
        self._decoded = Decoded(self.folder / "decoded", self.files)

    def prepare(self) -> None:
        """Check the decoded arrays (about 0.2 s); if they are missing, get and decode the archive; raises UserError."""
        if not self._decoded.is_intact():
            get(self.folder, self.files, self.sources)
            self._decoded.make(self._write)

    def hashes(self) -> dict[str, str]:
        """SHA-256 of the archive, as pinned here: the arrays are a function of its bytes alone."""
        return dict(self.files)

    def split(self, name: str) -> Arrays:
        """ "train" (45,000), "validation" (5,000) or "test" (10,000); x is a read-only memory map."""
        images, labels = self._decoded.array("images"), self._decoded.array("labels")
        return Arrays(x=images[self.rows[name]], y=np.array(labels[self.rows[name]]))

    def _write(self, folder: Path) -> dict[str, Any]:
        """https://www.cs.toronto.edu/~kriz/cifar.html, "Binary version": a label byte, then the three colour planes."""
        content = {}
        with tarfile.open(self.folder / ARCHIVE) as archive:
            for member in archive:  # in the archive's order: going back would decompress again
                if (stream := archive.extractfile(member)) and Path(member.name).name in BATCHES:
                    content[Path(member.name).name] = stream.read()
        records = np.frombuffer(b"".join(content[name] for name in BATCHES), np.uint8).reshape(-1, 1 + 3 * 32 * 32)
        np.save(folder / "images.npy", records[:, 1:].reshape(-1, 3, 32, 32))
        np.save(folder / "labels.npy", records[:, 0].astype(np.int64))
        return {}
