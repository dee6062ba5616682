"""A generator of residual blocks, for CycleGAN (Zhu et al. 2017, appendix 7.2) and for styles (Johnson et al. 2016)."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from src.data.spec import Spec
from src.networks.pix2pix import initialise, normalised


class ResidualTranslator(nn.Module):
    """Pictures to pictures of the same side: convolutions that halve the side, residual blocks, transposed convolutions.

    The paper's network for 256 x 256 has width 64, 9 blocks and 2 halvings. Sides must be multiples of 2^halvings; they need
    not be those of the data. The borders are mirror images, as in the papers.

    width: channels of the largest maps; they double with each halving. blocks: residual blocks at the smallest side.
    kernel: side of the first and of the last convolution. norm: see src.networks.pix2pix.
    source: the field of its inputs.
    The attribute `multiple` is what the sides of pictures must be multiples of.
    """

    def __init__(
        self,
        spec: Spec,
        width: int = 16,
        blocks: int = 4,
        halvings: int = 2,
        kernel: int = 7,
        norm: str = "instance",
        source: str = "source",
    ) -> None:
        super().__init__()
        self.multiple = multiple = 2**halvings
        if spec.kind != "image" or source not in spec.fields:
            raise ValueError(f"this network makes pictures of the field {source}, which the data lack: take data=emoji_pairs")
        if any(side % multiple for side in spec.shape[1:]):
            raise ValueError(f"pictures of {spec.shape[2]} x {spec.shape[1]}: sides must be multiples of {multiple}")
        widths = [width * 2**i for i in range(halvings + 1)]
        wide = {"kernel_size": kernel, "padding": kernel // 2, "padding_mode": "reflect"}
        self.first = normalised(nn.Conv2d(spec.fields[source].shape[0], width, **wide, bias=False), norm)  # type: ignore[arg-type]
        self.down = nn.ModuleList(normalised(nn.Conv2d(a, b, 3, 2, 1, bias=False), norm) for a, b in pairwise(widths))
        self.blocks = nn.ModuleList(ResidualBlock(widths[-1], norm) for _ in range(blocks))
        self.up = nn.ModuleList(
            normalised(nn.ConvTranspose2d(b, a, 3, 2, 1, output_padding=1, bias=False), norm)
            for a, b in reversed([*pairwise(widths)])
        )
        self.last = nn.Conv2d(width, spec.shape[0], **wide)  # type: ignore[arg-type]
        initialise(self)

    def forward(self, source: Tensor) -> Tensor:
        """[B, C_s, H, W] to [B, C, H, W], both in [-1, 1]."""
        h = F.relu(self.first(source.contiguous(memory_format=torch.channels_last)))  # [B, width, H, W]
        for layer in self.down:
            h = F.relu(layer(h))
        for block in self.blocks:  # [B, width 2^halvings, H / 2^halvings, W / 2^halvings]
            h = block(h)
        for layer in self.up:
            h = F.relu(layer(h))
        return torch.tanh(self.last(h))


class ResidualBlock(nn.Module):
    """x + two 3 x 3 convolutions of x (He et al. 2016), with norms and without an activation after the sum."""

    def __init__(self, channels: int, norm: str) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            normalised(nn.Conv2d(channels, channels, 3, padding=1, padding_mode="reflect", bias=False), norm) for _ in range(2)
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] to the same shape."""
        first, second = self.convolutions
        return x + second(F.relu(first(x)))
