"""CelebA: 202,599 photographs of faces, aligned, from the authors' archive."""

import importlib.util
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from src.config.errors import UserError
from src.data.clients import DvcRemote
from src.data.dataset import Arrays
from src.data.decoded import REVISION, Decoded, map_parallel, to_array, write_images
from src.data.sources import Mirror, Source, SourceError, get, install
from src.data.spec import Spec

ARCHIVE = "img_align_celeba.zip"
WIDTH = 178  # pixels; the aligned images are 178 wide and 218 high


@dataclass(frozen=True)
class _GoogleDrive:
    """The authors' folder on Google Drive, read with torchvision's client, which needs gdown. ids: (file name, Drive id)."""

    ids: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        return "Google Drive"

    def fetch(self, folder: Path, files: Mapping[str, str]) -> None:
        """See Source."""
        if importlib.util.find_spec("gdown") is None:
            raise SourceError("gdown is not installed (pip install gdown)")
        from torchvision.datasets.utils import download_file_from_google_drive  # type: ignore[import-untyped]

        for name, sha256 in files.items():
            with tempfile.TemporaryDirectory(dir=folder, suffix=".part") as temporary:
                try:
                    download_file_from_google_drive(dict(self.ids)[name], temporary, name)
                except Exception as error:  # gdown, requests and torchvision each raise their own
                    reason = str(error).strip().splitlines() or [type(error).__name__]
                    raise SourceError(f"{name}: {reason[0]}") from error
                with open(Path(temporary) / name, "rb") as stream:
                    install(stream, folder / name, sha256)


class CelebA:
    """Faces of celebrities (Liu et al. 2015, arXiv:1411.7766), for non-commercial research only. There are no labels: the
    forty attributes are not classes.

    Images are uint8 [N, 3, size, size]: the centre square of `crop` pixels, resized with an antialiased bicubic filter. The
    usual crops are 178, the whole width (StarGAN, Choi et al. 2018, arXiv:1711.09020), and 140, which removes most of the
    background (NCSN, Song and Ermon 2019, arXiv:1907.05600). Distances measured on different crops are not comparable. The
    archive may be deleted after it is decoded at every size that you need.

    folder: for the archive and the decoded arrays; prepare() fills it.
    sources: where prepare() looks for a missing archive, in this order; None means `default_sources`.
    """

    name = "celeba"
    # The SHA-256 from TensorFlow Datasets (tensorflow_datasets/url_checksums/celeb_a.txt).
    files: ClassVar[dict[str, str]] = {ARCHIVE: "46fb89443c578308acf364d7d379fe1b9efb793042c0af734b6112e4fd3a8c74"}
    default_sources: ClassVar[tuple[Source, ...]] = (
        DvcRemote(),
        _GoogleDrive(((ARCHIVE, "0B7EVK8r0v71pZjFTYXZWM3FlRnM"),)),  # torchvision.datasets.CelebA.file_list
        Mirror("https://s3.amazonaws.com/pytorch-tutorial-assets/", suffix=""),  # for PyTorch's DCGAN tutorial
    )
    # The official partition: images 1-162770, 162771-182637 and 182638-202599 (CelebA's README, list_eval_partition.txt).
    rows: ClassVar[dict[str, slice]] = {
        "train": slice(0, 162_770),
        "validation": slice(162_770, 182_637),
        "test": slice(182_637, 202_599),
    }

    def __init__(self, folder: str | Path, size: int = 64, crop: int = WIDTH, sources: Sequence[Source] | None = None) -> None:
        if crop > WIDTH:
            raise UserError(f"crop={crop}: the images are {WIDTH} pixels wide")
        self.folder, self.size, self.crop = Path(folder), size, crop
        self.sources = self.default_sources if sources is None else sources
        self.spec = Spec.of("image", (3, size, size))
        source = {**self.files, "size": size, "crop": crop, "revision": REVISION}
        self._decoded = Decoded(self.folder / f"{size}-of-{crop}", source)

    def prepare(self) -> None:
        """Check the decoded images (some seconds); if they are missing, get and decode the archive (minutes).

        Raises UserError with the remedy.
        """
        if not self._decoded.is_intact():
            get(self.folder, self.files, self.sources)
            self._decoded.make(self._write)

    def hashes(self) -> dict[str, str]:
        """SHA-256 of the archive, as pinned here, and of the decoded images, which depend on the JPEG decoder too."""
        return self.files | self._decoded.hashes()

    def split(self, name: str) -> Arrays:
        """ "train" (162,770), "validation" (19,867) or "test" (19,962); x is a read-only memory map."""
        return Arrays(x=self._decoded.array("images")[self.rows[name]])

    def _write(self, folder: Path) -> dict[str, Any]:
        with zipfile.ZipFile(self.folder / ARCHIVE) as archive:
            names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))

            def decode(name: str) -> np.ndarray:
                return to_array(archive.read(name), self.size, channels=3, crop=self.crop)

            images = map_parallel(f"{self.folder / ARCHIVE}: decoding", decode, names)
            write_images(folder / "images.npy", images, self.spec.shape)
        return {}
