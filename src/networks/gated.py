"""A generator of gated convolutions, for inpainting: Yu et al. 2019, arXiv:1806.03589, Free-Form Image Inpainting."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from src.data.spec import Spec

MULTIPLE = 4  # the side is halved twice


class GatedInpainter(nn.Module):
    """Pictures with holes and their masks to whole pictures; what is known of a picture stays as it is.

    As the paper's coarse network: convolutions that halve the side twice, dilated convolutions, which see the whole picture,
    and the way back. Sides must be multiples of 4; they need not be those of the data.

    width: channels of the largest maps. dilations: of the convolutions at a quarter of the side.
    """

    def __init__(self, spec: Spec, width: int = 16, dilations: Sequence[int] = (1, 2, 4, 8)) -> None:
        super().__init__()
        if spec.kind != "image" or any(side % MULTIPLE for side in spec.shape[1:]):
            raise ValueError(
                f"samples of shape {spec.shape} are no images [C, H, W] with sides that are multiples of {MULTIPLE}"
            )
        channels, convolution = spec.shape[0], nn.Conv2d
        self.layers = nn.Sequential(
            Gated(convolution(channels + 1, 2 * width, 5, padding=2)),
            Gated(convolution(width, 4 * width, 3, stride=2, padding=1)),
            Gated(convolution(2 * width, 8 * width, 3, stride=2, padding=1)),
            *(Gated(convolution(4 * width, 8 * width, 3, padding=d, dilation=d)) for d in dilations),
            Gated(nn.ConvTranspose2d(4 * width, 4 * width, 4, stride=2, padding=1)),
            Gated(nn.ConvTranspose2d(2 * width, 2 * width, 4, stride=2, padding=1)),
            convolution(width, channels, 3, padding=1),
        )
        for layer in self.layers:
            initialise(layer)

    def forward(self, source: Tensor, mask: Tensor) -> Tensor:
        """source [B, C, H, W] in [-1, 1], and mask [B, 1, H, W], above 0.5 in the hole, to [B, C, H, W] in [-1, 1]."""
        hole = mask > 0.5
        inputs = torch.cat([source.masked_fill(hole, 0.0), hole.to(source.dtype)], dim=1)
        found = torch.tanh(self.layers(inputs.contiguous(memory_format=torch.channels_last)))
        return torch.where(hole, found, source)


class Gated(nn.Module):
    """sigmoid(W_g x) * elu(W_f x), with halves of a convolution: the network learns which pixels count (section 3.1)."""

    def __init__(self, convolution: nn.Conv2d | nn.ConvTranspose2d) -> None:
        super().__init__()
        self.convolution = convolution

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] to [B, half of the convolution's channels, H', W']."""
        features, gates = self.convolution(x).chunk(2, dim=1)
        return F.elu(features) * torch.sigmoid(gates)


def initialise(layer: nn.Module) -> None:
    """Weights from N(0, g^2 / inputs of an output), biases zero; g = 2 before gates, which halve what they let through."""
    gated = isinstance(layer, Gated)
    convolution = layer.convolution if isinstance(layer, Gated) else layer
    assert isinstance(convolution, nn.Conv2d | nn.ConvTranspose2d)
    taps = convolution.kernel_size[0] * convolution.kernel_size[1]
    if isinstance(convolution, nn.ConvTranspose2d):
        taps //= convolution.stride[0] * convolution.stride[1]
    nn.init.normal_(convolution.weight, std=(2 if gated else 1) / math.sqrt(convolution.in_channels * taps))
    assert convolution.bias is not None
    nn.init.zeros_(convolution.bias)
