"""Feature extractors with pinned weights: what every distance is measured in.

`digits` and `fashion` are small classifiers whose weights lie beside this file (`python -m src.extractor` makes them anew).
`inception-v3-compat` is torch-fidelity's. A value is only as comparable as its extractor: with the official Inception
weights the keys are `fid`, `is`, `kid`; with any other they carry the extractor's name, as in `fd_digits`.
"""

import hashlib
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import URLError

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from torch import Tensor
from torch.nn import functional as F
from torch_fidelity.feature_extractor_base import FeatureExtractorBase
from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3, FeatureExtractorInceptionV3
from torch_fidelity.registry import register_feature_extractor

from src.errors import UserError, nearest
from src.networks.classifier import Classifier
from src.pixels import from_uint8

WEIGHTS = Path(__file__).parent / "weights"
INCEPTION = "inception-v3-compat"
INCEPTION_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
LUMINANCE = torch.tensor([0.299, 0.587, 0.114])  # ITU-R BT.601


class Pinned(NamedTuple):
    """A committed classifier: SHA-256 of its weights, test accuracy, and SHA-256 of the training images file."""

    sha256: str
    accuracy: float
    data_sha256: str


# The defaults of `train_extractor` on the 55,000 training images, with one thread.
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


class Features(NamedTuple):
    """features: [N, D] float32 for distances. logits: [N, K] float32 for the Inception Score."""

    features: Tensor
    logits: Tensor


class ClassifierExtractor(FeatureExtractorBase):
    """`Classifier` behind torch-fidelity's interface: uint8 images [B, 1 or 3, H, W] of any size.

    Colour becomes luminance. Other sizes are resized to 28 x 28 (bilinear, antialiased); tiny ones, up to 20 x 20, are
    taken for digits without a margin and put into MNIST's box (see `_framed`).
    """

    def __init__(
        self, name: str, features_list: list[str], feature_extractor_weights_path: str | None = None, **_: Any
    ) -> None:
        super().__init__(name, features_list)
        path = Path(feature_extractor_weights_path or WEIGHTS / f"{name}.safetensors")
        self.classifier = Classifier().to(memory_format=torch.channels_last)  # twice as fast
        try:
            self.classifier.load_state_dict(load_safetensors(_read(path)))
        except (SafetensorError, RuntimeError) as error:
            raise UserError(
                f"{path} holds no weights of the {name} classifier: make them with `python -m src.extractor`"
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
        x = images.float()
        if x.shape[1] == 3:
            x = torch.einsum("bchw,c->bhw", x, LUMINANCE.to(x.device)).unsqueeze(1)  # [B, 3, H, W] -> [B, 1, H, W]
        features, logits = self.classifier(from_uint8(_framed(x)))
        found = {"128": features, "logits": logits}
        return tuple(found[name] for name in self.features_list)


def _framed(x: Tensor) -> Tensor:
    """Images [B, 1, H, W] in the frame of MNIST: a digit is 20 x 20 in the middle of 28 x 28.

    The 8 x 8 digits fill their images. In the box 94 % of them are recognised, stretched over the whole frame 26 %.
    """
    size = Classifier.size
    if max(x.shape[2:]) <= 20:
        return F.pad(F.interpolate(x, (20, 20), mode="nearest"), [4] * 4)  # [B, 1, 20, 20] -> [B, 1, 28, 28]
    return x if x.shape[2:] == (size, size) else F.interpolate(x, (size, size), mode="bilinear", antialias=True)


for _name in CLASSIFIERS:  # torch_fidelity.calculate_metrics(feature_extractor="digits") then works too
    register_feature_extractor(_name, ClassifierExtractor)


class Extractor:
    """Images in, features and logits out, in batches of a fixed size.

    name: `digits`, or `digits-1a2b3c4d` (the start of the SHA-256) when the weights are not the pinned ones.
    weights_sha256: of the weights file. feature_size: D. classes: K, or 0 where they are not those of the data.
    standardise: whether the kernel distance is taken on standardised features; the published one is not.
    """

    def __init__(self, module: FeatureExtractorBase, weights_sha256: str, pinned_sha256: str, device: str) -> None:
        base = module.get_name()
        self.inception = base == INCEPTION
        self.pinned = weights_sha256 == pinned_sha256
        self.name = base if self.pinned else f"{base}-{weights_sha256[:8]}"
        self.weights_sha256 = weights_sha256
        self.feature_size = 2048 if self.inception else Classifier.feature_size
        self.classes = 0 if self.inception else 10
        self.standardise = not self.inception
        self._batch_size = 32 if self.inception else 500
        self._module = module.to(device)
        self._device = device

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Features:
        """uint8 images [N, 1 or 3, H, W] in 0..255 -> Features on the CPU."""
        assert images.dtype == torch.uint8, f"quantise first: {images.dtype}"
        assert images.dim() == 4, f"not [N, C, H, W]: {tuple(images.shape)}"
        if images.shape[1] not in (1, 3):
            raise UserError(f"{self.name} takes images of 1 or 3 channels, not {images.shape[1]}: pick another extractor")
        found = [self._batch(batch.to(self._device)) for batch in images.split(self._batch_size)]
        return Features(*(torch.cat(parts).cpu() for parts in zip(*found, strict=True)))

    def _batch(self, images: Tensor) -> tuple[Tensor, ...]:
        return self._module(images.expand(-1, 3, -1, -1) if self.inception else images)

    def key(self, metric: str) -> str:
        """The key of a metric in a record: fid, is, kid with the official Inception weights, else `metric_name`."""
        if self.inception and self.pinned and metric in ("fd", "is", "kid"):
            return "fid" if metric == "fd" else metric
        return f"{metric}_{self.name}"


def load_extractor(name: str, weights: str | Path | None = None, device: str = "cpu") -> Extractor:
    """An extractor by name, with its pinned weights or those of a file.

    name: digits, fashion or inception-v3-compat. Raises UserError for an unknown name and for weights that are missing,
    damaged or of another network.
    """
    if name == INCEPTION:
        pinned_sha256, path = INCEPTION_SHA256, Path(weights) if weights else _inception_download()
    elif name in CLASSIFIERS:
        pinned_sha256, path = CLASSIFIERS[name].sha256, Path(weights or WEIGHTS / f"{name}.safetensors")
    else:
        raise UserError(f"no extractor is called {name!r}: {nearest(name, [*CLASSIFIERS, INCEPTION])}")
    digest = hashlib.sha256(_read(path)).hexdigest()
    if not weights and digest != pinned_sha256:
        raise UserError(f"{path} is damaged (wrong SHA-256): delete it and get it again (git checkout, or a new download)")
    module = _inception(path) if name == INCEPTION else ClassifierExtractor(name, ["128", "logits"], str(path))
    return Extractor(module, digest, pinned_sha256, device)


def _inception(path: Path) -> FeatureExtractorInceptionV3:
    """torch-fidelity unpickles whatever it is given, so the file has to pass the safe loader first."""
    try:
        torch.load(path, map_location="cpu", weights_only=True)
        return FeatureExtractorInceptionV3(INCEPTION, ["2048", "logits_unbiased"], feature_extractor_weights_path=str(path))
    except Exception as error:  # the unpickler raises nearly anything on damaged bytes
        raise UserError(f"{path} holds no Inception weights: give the file of {URL_INCEPTION_V3}") from error


def _inception_download() -> Path:
    """torch-fidelity's own weights from its own address, in torch's cache of downloads, checked by hash."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(URL_INCEPTION_V3).name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(URL_INCEPTION_V3, str(path), hash_prefix=INCEPTION_SHA256, progress=False)
        except (URLError, OSError, RuntimeError) as error:
            raise UserError(
                f"the Inception weights cannot be had ({error}): get {URL_INCEPTION_V3} elsewhere and put it at {path}"
            ) from error
    return path


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"no weights at {path}: give the path of an existing file") from error
