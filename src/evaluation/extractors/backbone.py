"""The parts of a feature extractor: a network, and how to use it. The other files of this folder build them."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from torch import Tensor, nn

from src.config.errors import UserError


class Features(NamedTuple):
    """features: [N, D] float32, for distances. logits: [N, K] float32, of the extractor's classes; K = 0 if it has none."""

    features: Tensor
    logits: Tensor


@dataclass(frozen=True)
class Backbone:
    """A network with its weights, and how to use it.

    module: samples [B, ...] -> (features [B, D], logits [B, K]), or (features,) alone.
    weights_sha256: SHA-256 of the weights file in use. pinned_sha256: SHA-256 of the weights for which the extractor's name has
    no suffix.
    batch_size: samples per call; rounding depends on it.
    class_names: names of the K logits in order, if they are classes of data sets here.
    channels: allowed numbers of image channels; empty if it does not take images.
    colour: whether grey images are converted to RGB.
    standardise: whether the kernel distance uses standardised features (see `distances.standardise`).
    training_images: number of training images that are searched for copies; None for all, if that takes only minutes.
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
    """The bytes of a weights file; UserError if there is none."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"no weights at {path}: give the path of an existing file") from error


def check_pinned(path: Path, digest: str, pinned: str) -> None:
    """Raise UserError if a file of the repository, or from a pinned source, has other bytes."""
    if digest != pinned:
        raise UserError(f"{path} is damaged (wrong SHA-256): delete it and get it again (git checkout, or a new download)")
