"""StyleGAN2's discriminator (Karras et al. 2020, arXiv:1912.04958), conditional as in StyleGAN2-ADA (arXiv:2006.06676)."""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from src.data.spec import Spec
from src.networks.sizes import count_classes, sides
from src.networks.stylegan2 import EqualLinear, Resample, activate, downsample, lowpass, mapping_stack, normalise


class EqualConv(nn.Module):
    """A convolution with equalised learning rate, bias and activation; `linear` has no bias and no activation."""

    def __init__(
        self, in_channels: int, channels: int, kernel: int, stride: int = 1, padding: int = 0, linear: bool = False
    ) -> None:
        super().__init__()
        self.stride, self.padding = stride, padding
        self.weight = nn.Parameter(torch.randn(channels, in_channels, kernel, kernel))
        self.bias = None if linear else nn.Parameter(torch.zeros(channels))
        self.gain = 1 / math.sqrt(in_channels * kernel**2)

    def forward(self, x: Tensor) -> Tensor:
        """[B, in_channels, S, S] to [B, channels, S', S']."""
        x = conv2d(x, self.weight * self.gain, self.bias, self.stride, self.padding)
        return x if self.bias is None else activate(x)


class Block(nn.Module):
    """Two convolutions to half the side; if `residual`, plus a linear path (StyleGAN2, figure 7c)."""

    def __init__(self, in_channels: int, channels: int, side: int, residual: bool) -> None:
        super().__init__()
        self.main = nn.Sequential(
            EqualConv(in_channels, in_channels, 3, padding=1),
            Resample(lowpass(side, side + 1, stride=1, offset=2).mT / 2),  # [.., side + 1, side + 1]: the convolution's padding
            EqualConv(in_channels, channels, 3, stride=2),
        )
        self.skip = nn.Sequential(downsample(side), EqualConv(in_channels, channels, 1, linear=True)) if residual else None

    def forward(self, x: Tensor) -> Tensor:
        """[B, in_channels, side, side] to [B, channels, side / 2, side / 2]."""
        return self.main(x) if self.skip is None else (self.main(x) + self.skip(x)) / math.sqrt(2)


class MinibatchStd(nn.Module):
    """Adds a channel, the standard deviation of features over a group of samples, averaged (Karras et al. 2018, section 3).

    A group is neighbouring samples; in the official code it is every n-th sample. So a group is within one rank's part of the
    batch, and groups are the same for any number of ranks whose parts divide into groups. A batch that does not divide into
    groups of `group_size`, or is smaller, is one group.
    """

    batch_dependent = True

    def __init__(self, group_size: int) -> None:
        super().__init__()
        self.group_size = group_size

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, S, S] to [B, C + 1, S, S]; sample i is in group i // group size."""
        batch, _, side, _ = x.shape
        size = self.group_size if batch % self.group_size == 0 else batch
        groups = x.unflatten(0, (batch // size, size))  # [groups, size, C, S, S]
        std = (groups.var(1, correction=0) + 1e-8).sqrt().mean((1, 2, 3))  # [groups]
        return torch.cat([x, std.repeat_interleave(size)[:, None, None, None].expand(-1, 1, side, side)], 1)


class StyleGAN2Discriminator(nn.Module):
    """Images to one logit each.

    channel_base, channel_max: the features at side r have min(channel_base / r, channel_max) channels.
    group_size: samples per group of the minibatch standard deviation.
    residual: whether blocks add a linear path to their convolutions.
    conditional: the logit is the product of the features and the mapped label (Miyato & Koyama 2018, without its first term).
    mapping_layers: number of layers that map the label's embedding to this vector, if conditional.
    """

    def __init__(
        self,
        spec: Spec,
        channel_base: int = 32768,
        channel_max: int = 512,
        group_size: int = 4,
        residual: bool = True,
        conditional: bool = False,
        mapping_layers: int = 8,
    ) -> None:
        super().__init__()
        self.classes = count_classes(spec, conditional)
        start, *maps = sides(spec)
        channels = {side: min(channel_base // side, channel_max) for side in (start, *maps)}
        width = channels[start]
        self.features = nn.Sequential(
            EqualConv(spec.shape[0], channels[maps[-1]], 1),
            *(Block(channels[side], channels[side // 2], side, residual) for side in reversed(maps)),
            MinibatchStd(group_size),
            EqualConv(width + 1, width, 3, padding=1),
            nn.Flatten(),
            EqualLinear(width * start**2, width, activation=True),
            EqualLinear(width, width if conditional else 1),
        )
        if conditional:
            self.embedding = nn.Embedding(self.classes, width)
            self.mapping = mapping_stack(width, width, mapping_layers)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Images [B, *shape] in [-1, 1], and labels y [B] if conditional, to logits [B]."""
        x = self.features(x)  # [B, 1], or [B, width]
        if self.classes:
            x = x * self.mapping(normalise(self.embedding(y))) / math.sqrt(x.shape[1])
        return x.sum(1)
