"""Feature extractors with pinned weights: every distance is measured on their features.

`digits`, `fashion` and `stacked_digits` are small classifiers (classifiers.py); `inception-v3-compat`, `efficientnet-lite0`,
`clip-vit-b-32` and `dinov2-vit-b-14` are for natural images (pretrained.py); `points` uses points as their own features.
Values are comparable only for the same extractor: with the official Inception weights the keys are `fid`, `is`, `kid`; with
any other they end in the extractor's name, as in `fd_digits`.
"""

import sys
from pathlib import Path

import torch
from torch import Tensor

from src.config.errors import UserError, nearest
from src.evaluation.extractors.backbone import Backbone, Features
from src.evaluation.extractors.classifiers import CLASSIFIERS, STACKED_DIGITS, load_classifier
from src.evaluation.extractors.points import POINTS, load_points
from src.evaluation.extractors.pretrained import EFFICIENTNET, INCEPTION, PRETRAINED
from src.parallel.collectives import is_first
from src.system.progress import Line

NAMES = (*CLASSIFIERS, STACKED_DIGITS, *PRETRAINED, POINTS)
STAGED = (EFFICIENTNET, *CLASSIFIERS)  # those with `stages`


class Extractor:
    """Computes features and logits of samples, in batches of a fixed size.

    name: `digits`, or `digits-1a2b3c4d` (with the start of the SHA-256) if the weights are not the pinned ones.
    weights_sha256: SHA-256 of the weights file. feature_size: D. class_names, classes: names and number of the classes of its
    logits; empty and 0 if no data set here has these classes. batch_size: a part of the samples that begins at a multiple of
    it gets bitwise the same features as within all samples.
    standardise, training_images: see Backbone. points: whether it takes points instead of images.
    """

    def __init__(self, name: str, backbone: Backbone) -> None:
        self.inception, self.points = name == INCEPTION, name == POINTS
        self.pinned = backbone.weights_sha256 == backbone.pinned_sha256
        self.name = name if self.pinned else f"{name}-{backbone.weights_sha256[:8]}"
        self.weights_sha256, self.feature_size = backbone.weights_sha256, backbone.feature_size
        self.class_names, self.classes = backbone.class_names, len(backbone.class_names)
        self.batch_size = backbone.batch_size
        self.standardise, self.training_images = backbone.standardise, backbone.training_images
        self._backbone, self.device = backbone, torch.device("cpu")

    @torch.inference_mode()
    def __call__(self, samples: Tensor, show: bool = False) -> Features:
        """uint8 images [N, 1 or 3, H, W] in 0..255 (or float points [N, 2]) -> Features, all on the CPU.

        show: whether rank 0 says on stderr how far it is.
        """
        if self.points != (samples.dim() == 2):
            raise UserError(f"{self.name} cannot measure samples of shape {list(samples.shape[1:])}: pick another extractor")
        if not self.points:
            self._check_images(samples)
        line, found = Line(sys.stderr), []
        for batch in samples.split(self._backbone.batch_size):
            found.append(self._batch(batch.to(self.device)))
            if show and is_first():
                line.count(min(len(found) * self._backbone.batch_size, len(samples)), len(samples), "samples measured")
        line.end()
        features, *logits = (torch.cat(parts) for parts in zip(*found, strict=True))
        return Features(features, *logits) if logits else Features(features, features.new_empty(len(features), 0))

    @torch.inference_mode()
    def stages(self, images: Tensor) -> tuple[list[Tensor], Tensor]:
        """Outputs [N, C_l, H_l, W_l] of several layers, on the extractor's device, and the features [N, D], on the CPU.

        images: as in `__call__`, at most `batch_size` of them. Only the extractors of STAGED have it.
        """
        self._check_images(images)
        layers, features = self._backbone.module.stages(self._input(images.to(self.device)))  # type: ignore[operator]
        return layers, features.cpu()

    def _check_images(self, images: Tensor) -> None:
        assert images.dtype == torch.uint8, f"quantise first: {images.dtype}"
        assert images.dim() == 4, f"not [N, C, H, W]: {tuple(images.shape)}"
        if images.shape[1] not in self._backbone.channels:
            wanted = " or ".join(map(str, self._backbone.channels))
            raise UserError(f"{self.name} takes images of {wanted} channels, not {images.shape[1]}: pick another extractor")

    def _batch(self, samples: Tensor) -> tuple[Tensor, ...]:
        return tuple(part.cpu() for part in self._backbone.module(self._input(samples)))

    def _input(self, samples: Tensor) -> Tensor:
        return samples.expand(-1, 3, -1, -1) if self._backbone.colour else samples

    def to(self, device: torch.device | str) -> None:
        """Extract on this device from now on; results are returned on the CPU."""
        self.device = torch.device(device)
        self._backbone.module.to(self.device)

    def key(self, metric: str) -> str:
        """The key of a metric in a record: fid, is, kid with the official Inception weights, else the metric and `name`."""
        if self.inception and self.pinned and metric in ("fd", "is", "kid"):
            return "fid" if metric == "fd" else metric
        return f"{metric}_{self.name}"


def load_extractor(name: str, weights: str | Path | None = None) -> Extractor:
    """An extractor by name (one of NAMES), with its pinned weights or with weights from a file.

    Raises UserError for an unknown name, and for weights that are missing, damaged or for another network.
    """
    if name == POINTS:
        backbone = load_points(weights)
    elif name in PRETRAINED:
        backbone = PRETRAINED[name](weights)
    elif name in NAMES:
        backbone = load_classifier(name, weights)
    else:
        raise UserError(f"no extractor is called {name!r}: {nearest(name, NAMES)}")
    return Extractor(name, backbone)
