"""What every feature extractor is made of: a network, and how to use it. The kinds lie in the files beside this one."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from torch import Tensor, nn

from src.config.errors import UserError


class Features(NamedTuple):
    """features: [N, D] float32 for distances. logits: [N, K] float32 of its classes; K = 0 where it has none."""

    features: Tensor
    logits: Tensor


@dataclass(frozen=True)
class Backbone:
    """A network with its weights, and how to use it.

    module: samples [B, ...] -> (features [B, D], logits [B, K]), or (features,) alone.
    weights_sha256, pinned_sha256: of the weights file that is used and of the one that gives the extractor its plain name.
    batch_size: samples at once; the last bits of a result depend on it.
    class_names: of the K logits in their order, where they are classes of data sets here.
    channels: of the images that it takes; empty for what is no image.
    colour: whether grey images are to be given as RGB.
    standardise: whether the kernel distance is taken on standardised features (see `fidelity.standardise`).
    training_images: how many of the training images are looked at for copies; None for all, where that takes minutes.
    """

    module: nn.Module
    weights_sha256: str
    pinned_sha256: str
    feature_size: int
    batch_size: int
    class_names: tuple[str, ...] = ()
    channels: tuple[int, ...] = (1, 3)
    colour: bool = False
    standardise: bool = False
    training_images: int | None = None


def read(path: Path) -> bytes:
    """The bytes of a weights file; UserError where there is none."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"no weights at {path}: give the path of an existing file") from error


def check_pinned(path: Path, digest: str, pinned: str) -> None:
    """UserError where a file that came with the code, or from a pinned place, has other bytes."""
    if digest != pinned:
        raise UserError(f"{path} is damaged (wrong SHA-256): delete it and get it again (git checkout, or a new download)")
