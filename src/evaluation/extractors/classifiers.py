"""Small classifiers of 28 x 28 images as extractors; `python -m src.tools.extractor` makes their weights (weights/)."""

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from torch import Tensor, nn
from torch.nn import functional as F
from torch_fidelity.feature_extractor_base import FeatureExtractorBase
from torch_fidelity.registry import register_feature_extractor

from src.config.errors import UserError
from src.data.mnist import MNIST, FashionMNIST
from src.data.pixels import from_uint8
from src.evaluation.extractors.backbone import Backbone, check_pinned, read
from src.networks.classifier import Classifier

WEIGHTS = Path(__file__).parent / "weights"
STACKED_DIGITS = "stacked_digits"
STACKED_CLASSES = tuple(f"{label:03d}" for label in range(1000))  # the digits of the red, green and blue channel
LUMINANCE = torch.tensor([0.299, 0.587, 0.114])  # ITU-R BT.601


class Pinned(NamedTuple):
    """A committed classifier: SHA-256 of its weights, test accuracy, and SHA-256 of the training images file."""

    sha256: str
    accuracy: float
    data_sha256: str


# Made by `train_extractor` with its defaults on the 55,000 training images, with one thread.
CLASSIFIERS = {
    "digits": Pinned(
        "278fc9ca0f6e8814013732996796a2b78ce0c932356c59e231b5787fc0b5b0e9",
        0.9941,
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    ),
    "fashion": Pinned(
        "d1c905fb12c625de2aa7df1be12d90756276dc626d2d480f53286dbe6c16b886",
        0.9185,
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    ),
}
CLASS_NAMES = {"digits": MNIST.classes, "fashion": FashionMNIST.classes}


class ClassifierExtractor(FeatureExtractorBase):
    """`Classifier` behind torch-fidelity's interface: uint8 images [B, 1 or 3, H, W] of any size.

    Colour becomes luminance. Images up to 20 x 20 are treated as digits without a margin (see `_framed`); other sizes are
    resized to 28 x 28 (bilinear, antialiased).
    """

    def __init__(
        self, name: str, features_list: list[str], feature_extractor_weights_path: str | None = None, **_: Any
    ) -> None:
        super().__init__(name, features_list)
        path = Path(feature_extractor_weights_path or WEIGHTS / f"{name}.safetensors")
        self.classifier = Classifier().to(memory_format=torch.channels_last)  # twice as fast
        try:
            self.classifier.load_state_dict(load_safetensors(read(path)))
        except (SafetensorError, RuntimeError) as error:
            raise UserError(
                f"{path} holds no weights of the {name} classifier: make them with `python -m src.tools.extractor`"
            ) from error
        self.requires_grad_(False)
        self.eval()

    @staticmethod
    def get_provided_features_list() -> tuple[str, ...]:
        return "128", "logits"

    @staticmethod
    def get_default_feature_layer_for_metric(metric: str) -> str:
        return "logits" if metric == "isc" else "128"

    @staticmethod
    def can_be_compiled() -> bool:
        return False

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        features, logits = self.classifier(self.prepared(images))
        found = {"128": features, "logits": logits}
        return tuple(found[name] for name in self.features_list)

    def stages(self, images: Tensor) -> tuple[list[Tensor], Tensor]:
        """See `Classifier.stages`."""
        return self.classifier.stages(self.prepared(images))

    def prepared(self, images: Tensor) -> Tensor:
        """The classifier's input [B, 1, 28, 28] in [-1, 1]."""
        x = images.to(next(self.parameters()).dtype)
        if x.shape[1] == 3:
            x = torch.einsum("bchw,c->bhw", x, LUMINANCE.to(x)).unsqueeze(1)  # [B, 3, H, W] -> [B, 1, H, W]
        return from_uint8(_framed(x))


class StackedDigits(nn.Module):
    """The digits classifier on each of the three channels of uint8 images [B, 3, H, W].

    Features [B, 3 * 128]; logits [B, 1000] are the log-probabilities of (red, green, blue) in the order of STACKED_CLASSES,
    with the channels as independent. The data and its use are from Metz et al. 2016 (arXiv:1611.02163, section 3.3.1).
    """

    def __init__(self, digits: ClassifierExtractor) -> None:
        super().__init__()
        self.digits = digits

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features, logits = self.digits(images.flatten(0, 1).unsqueeze(1))  # [B, 3, H, W] -> [3 B, 1, H, W]
        red, green, blue = logits.log_softmax(dim=1).unflatten(0, (-1, 3)).unbind(dim=1)  # each [B, 10]
        joint = red[:, :, None, None] + green[:, None, :, None] + blue[:, None, None, :]  # [B, 10, 10, 10]
        return features.unflatten(0, (-1, 3)).flatten(1), joint.flatten(1)  # [B, 384], [B, 1000]


for _name in CLASSIFIERS:  # torch_fidelity.calculate_metrics(feature_extractor="digits") then works too
    register_feature_extractor(_name, ClassifierExtractor)


def load_classifier(name: str, weights: str | Path | None) -> Backbone:
    """`digits`, `fashion` or `stacked_digits`, with the committed weights or with weights from a file."""
    stacked = name == STACKED_DIGITS
    base = "digits" if stacked else name
    path, pinned = Path(weights or WEIGHTS / f"{base}.safetensors"), CLASSIFIERS[base].sha256
    digest = hashlib.sha256(read(path)).hexdigest()
    if not weights:
        check_pinned(path, digest, pinned)
    module = ClassifierExtractor(base, ["128", "logits"], str(path))
    return Backbone(
        StackedDigits(module) if stacked else module,
        digest,
        pinned,
        feature_size=Classifier.feature_size * (3 if stacked else 1),
        batch_size=100,  # larger batches do not fit the CPU's cache and can take a third longer
        class_names=STACKED_CLASSES if stacked else CLASS_NAMES[name],
        channels=(3,) if stacked else (1, 3),
        standardise=True,
        training_images=50_000 if stacked else None,  # all 128,000 would take an hour
    )


def _framed(x: Tensor) -> Tensor:
    """Images [B, 1, H, W] to MNIST's format [B, 1, 28, 28], where a digit is 20 x 20 in the centre.

    The 8 x 8 digits have no margin. Resized to 20 x 20 in the centre, 94 % of them are recognised; resized to 28 x 28, 26 %.
    """
    size = Classifier.size
    if max(x.shape[2:]) <= 20:
        return F.pad(F.interpolate(x, (20, 20), mode="nearest"), [4] * 4)  # [B, 1, 20, 20] -> [B, 1, 28, 28]
    return x if x.shape[2:] == (size, size) else F.interpolate(x, (size, size), mode="bilinear", antialias=True)
