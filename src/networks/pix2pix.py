"""The networks of pix2pix (Isola et al. 2017, arXiv:1611.07004, section 6.1): a U-Net and a discriminator of patches."""

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import NormalDist

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from src.data.spec import Spec
from src.networks.residual import add_spectral_norm

NORMS = ("instance", "group", "none")
GROUPS = 8
CONDITIONS = {"source": 0, "mask": 1, "none": 0}  # channels, of sources those of the data


class Pix2PixGenerator(nn.Module):
    """Sources to pictures of the same side: an encoder, a decoder, and skips between maps of the same side.

    Map i of the encoder has `widths[i]` channels and the side of the picture divided by 2^(i + 1). The paper's network for
    256 x 256 has widths (64, 128, 256, 512, 512, 512, 512, 512). Sides must be multiples of 2^len(widths); they need not be
    those of the data.

    norm: "instance" (Ulyanov et al. 2016), "group" (Wu and He 2018, of 8 groups) or "none"; the first map and the smallest map
    have none. All are the same in training and afterwards. The paper's is batch norm with the statistics of the batch, also
    when samples are drawn, and a batch of one picture: instance norm.
    dropout: probability that a channel of the decoder's first `dropped` layers is switched off, also when samples are drawn:
    it is the noise of this network (section 2). The paper's is 0.5 in three layers, of single numbers instead of channels.
    With channels, the noise is a latent z of few numbers, so that a sample depends on its source and its seed alone.
    """

    def __init__(
        self,
        spec: Spec,
        widths: Sequence[int] = (32, 64, 128, 256),
        norm: str = "instance",
        dropout: float = 0.0,
        dropped: int = 3,
    ) -> None:
        super().__init__()
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout={dropout}: must be at least 0 and below 1")
        source, multiple = source_channels(spec), 2 ** len(widths)
        if any(side % multiple for side in spec.shape[1:]):
            raise ValueError(
                f"pictures of {spec.shape[2]} x {spec.shape[1]} do not fit {len(widths)} widths, which need sides that are "
                f"multiples of {multiple}: take data.size={max(1, round(spec.shape[1] / multiple)) * multiple}, or fewer widths"
            )
        # Channels of the decoder's inputs, from the smallest map on: its own and those of the skip.
        inputs = [widths[-1], *(2 * width for width in reversed(widths[:-1]))]
        outputs = [*reversed(widths[:-1]), spec.shape[0]]
        down = pairwise([source, *widths])
        self.down = nn.ModuleList(
            normalised(nn.Conv2d(a, b, 4, 2, 1, bias=False), "none" if i in (0, len(widths) - 1) else norm)
            for i, (a, b) in enumerate(down)
        )
        self.up = nn.ModuleList(
            normalised(nn.ConvTranspose2d(a, b, 4, 2, 1, bias=False), "none" if i == len(widths) - 1 else norm)
            for i, (a, b) in enumerate(zip(inputs, outputs, strict=True))
        )
        self.masks = outputs[: min(dropped, len(outputs) - 1)] if dropout else []  # channels of the layers with dropout
        self.z_dim = sum(self.masks)
        # A channel is kept where its number is above the quantile of `dropout`.
        self.keep, self.bound = 1 - dropout, NormalDist().inv_cdf(dropout) if dropout else -math.inf
        initialise(self)

    def forward(self, source: Tensor, z: Tensor | None = None) -> Tensor:
        """source [B, C_s, H, W], and z [B, z_dim] from N(0, I) if dropout > 0, to pictures [B, C, H, W] in [-1, 1]."""
        maps = []
        h = source.contiguous(memory_format=torch.channels_last)  # a CPU's convolutions take half as long in it
        for i, layer in enumerate(self.down):
            h = layer(F.leaky_relu(h, 0.2) if i else h)  # [B, widths[i], H / 2^(i + 1), W / 2^(i + 1)]
            maps.append(h)
        masks = ((z > self.bound) / self.keep).to(source.dtype).split(self.masks, dim=1) if z is not None and self.masks else ()
        for i, layer in enumerate(self.up):
            h = layer(F.relu(torch.cat([h, maps[-1 - i]], dim=1) if i else h))
            if i < len(masks):
                h = h * masks[i][:, :, None, None]
        return torch.tanh(h)


class PatchDiscriminator(nn.Module):
    """Pictures, with a condition, to one logit for each of many overlapping patches (section 3.2.2).

    layers: convolutions with stride 2. A logit sees a square of side 16, 34, 70, 142 for 1, 2, 3, 4 of them; the paper's has
    3 for 256 x 256.
    width: channels of the first layer; they double with each further one, to at most 8 times as many.
    norm: as of Pix2PixGenerator; the first layer has none.
    condition: what it sees besides: "source", "mask" (one channel) or "none". x: the field of its pictures.
    spectral_norm: divide each weight by its largest singular value (Miyato et al. 2018).
    """

    def __init__(
        self,
        spec: Spec,
        width: int = 32,
        layers: int = 2,
        norm: str = "instance",
        condition: str = "source",
        x: str = "x",
        spectral_norm: bool = False,
    ) -> None:
        super().__init__()
        if condition not in CONDITIONS:
            raise ValueError(f"condition={condition}: must be one of {', '.join(CONDITIONS)}")
        if min(spec.shape[1:]) < 3 * 2**layers:
            raise ValueError(f"pictures of {spec.shape[2]} x {spec.shape[1]} are too small for layers={layers}: take fewer")
        more = source_channels(spec) if condition == "source" else CONDITIONS[condition]
        channels = spec.fields[x].shape[0] + more
        widths = [width * min(2**i, 8) for i in range(layers + 1)]  # the last with stride 1
        parts: list[nn.Module] = [nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(0.2, inplace=True)]
        for i, (a, b) in enumerate(pairwise(widths)):
            stride = 2 if i < layers - 1 else 1
            parts += [normalised(nn.Conv2d(a, b, 4, stride, 1, bias=False), norm), nn.LeakyReLU(0.2, inplace=True)]
        self.layers = nn.Sequential(*parts, nn.Conv2d(widths[-1], 1, 4, 1, 1))
        initialise(self)
        if spectral_norm:
            add_spectral_norm(self)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """x [B, C, H, W] and its condition [B, C', H, W] to logits [B, 1, H', W']."""
        pictures = x if condition is None else torch.cat([x, condition], dim=1)
        return self.layers(pictures.contiguous(memory_format=torch.channels_last))


def source_channels(spec: Spec) -> int:
    """Channels of the sources; ValueError for data without pictures as sources."""
    source = spec.fields.get("source")
    if source is None or source.kind != "image" or spec.kind != "image":
        raise ValueError("this network translates pictures and the data have no pairs: take data=emoji_pairs or data=pairs")
    return source.shape[0]


def normalised(convolution: nn.Conv2d | nn.ConvTranspose2d, norm: str) -> nn.Module:
    """A convolution without a bias, and its norm; with "none", the convolution gets a bias."""
    channels = convolution.out_channels
    if norm == "none":
        convolution.bias = nn.Parameter(torch.zeros(channels))
        return convolution
    if norm not in NORMS:
        raise ValueError(f"norm={norm}: must be one of {', '.join(NORMS)}")
    # With groups of one channel it is nn.InstanceNorm2d, which is slower and changes the memory layout.
    groups = channels if norm == "instance" else math.gcd(channels, GROUPS)
    return nn.Sequential(convolution, nn.GroupNorm(groups, channels))


def initialise(network: nn.Module) -> None:
    """Weights from N(0, 0.02^2) (section 6.2), gains of norms from N(1, 0.02^2), biases zero."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.GroupNorm):
            nn.init.normal_(module.weight, mean=1.0 if isinstance(module, nn.GroupNorm) else 0.0, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
