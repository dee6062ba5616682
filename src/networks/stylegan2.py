"""StyleGAN2's generator (Karras et al. 2020, arXiv:1912.04958), with the details of StyleGAN2-ADA (arXiv:2006.06676).

The official code of StyleGAN2-ADA, in its configuration `cifar`, sets `mapping_layers=2` and `style_mixing=0`, uses no
path-length penalty, and sets `residual=False` and `group_size=32` in the discriminator.
"""

import math
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d, leaky_relu, linear

from src.data.spec import Spec
from src.networks.sizes import count_classes, sides
from src.parallel.collectives import draw_rows

W_MEAN_DECAY = 0.995  # per forward pass; the official code's `w_avg_beta`


def lowpass(rows: int, columns: int, stride: int, offset: int) -> Tensor:
    """Matrix [rows, columns] that spreads sample j over rows stride * j - offset + (0, 1, 2, 3) with [1, 3, 3, 1] / 4."""
    tap = torch.arange(rows)[:, None] - stride * torch.arange(columns) + offset  # [rows, columns]
    return torch.tensor([1.0, 3.0, 3.0, 1.0])[tap.clamp(0, 3)] * ((tap >= 0) & (tap <= 3)) / 4


class Resample(nn.Module):
    """A linear filter along both axes, zero outside the image: M x M^T for every channel.

    For small images, two matrix products take a CPU less time than a depthwise convolution.
    """

    matrix: Tensor

    def __init__(self, matrix: Tensor) -> None:
        super().__init__()
        self.register_buffer("matrix", matrix, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, columns, columns] to [B, C, rows, rows]."""
        return self.matrix @ x @ self.matrix.mT


def upsample(side: int) -> Resample:
    """[B, C, side, side] to double the side; a constant does not change, except at the edge."""
    return Resample(lowpass(2 * side, side, stride=2, offset=1))


def downsample(side: int) -> Resample:
    """[B, C, side, side] to half the side: the transpose of `upsample`, scaled to keep a constant."""
    return Resample(lowpass(side, side // 2, stride=2, offset=1).mT / 2)


def activate(x: Tensor) -> Tensor:
    """LeakyReLU scaled to keep the second moment approximately."""
    return leaky_relu(x, 0.2) * math.sqrt(2)


def normalise(x: Tensor) -> Tensor:
    """Vectors [B, N] to mean square 1."""
    return x * (x.square().mean(1, keepdim=True) + 1e-8).rsqrt()


class EqualLinear(nn.Module):
    """A linear layer with equalised learning rate (Karras et al. 2018, section 4.1).

    The weights are N(0, 1) and scaled at run time, so that an optimizer's step has the same relative size in every layer.

    bias: initial value.
    multiplier: factor of the learning rate.
    """

    def __init__(self, size: int, width: int, bias: float = 0.0, multiplier: float = 1.0, activation: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(width, size) / multiplier)
        self.bias = nn.Parameter(torch.full((width,), bias / multiplier))
        self.gain, self.multiplier, self.activation = multiplier / math.sqrt(size), multiplier, activation

    def forward(self, x: Tensor) -> Tensor:
        """[B, size] to [B, width]."""
        x = linear(x, self.weight * self.gain, self.bias * self.multiplier)
        return activate(x) if self.activation else x


def mapping_stack(size: int, width: int, layers: int) -> nn.Sequential:
    """The mapping's layers, [B, size] to [B, width], which learn at a hundredth of the rate (StyleGAN, appendix C)."""
    sizes = [size] + [width] * layers
    return nn.Sequential(*(EqualLinear(sizes[i], width, multiplier=0.01, activation=True) for i in range(layers)))


class Mapping(nn.Module):
    """f: Z to W. If there are classes, the label's embedding, normalised like z, is concatenated to z (StyleGAN2-ADA)."""

    def __init__(self, z_dim: int, w_dim: int, layers: int, classes: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(classes, w_dim) if classes else None
        self.layers = mapping_stack(z_dim + (w_dim if classes else 0), w_dim, layers)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """z [B, z_dim], and labels y [B] if conditional, to w [B, w_dim]."""
        x = normalise(z)
        if self.embedding is not None:
            x = torch.cat([x, normalise(self.embedding(y))], 1)  # [B, z_dim + w_dim]
        return self.layers(x)


class StyledConv(nn.Module):
    """3 x 3 convolution modulated by w, noise, bias and activation (StyleGAN2, figure 2d and eq. 1 to 3)."""

    noise: Tensor

    def __init__(self, in_channels: int, channels: int, w_dim: int, side: int, up: bool) -> None:
        super().__init__()
        self.side = side
        self.style = EqualLinear(w_dim, in_channels, bias=1.0)
        self.weight = nn.Parameter(torch.randn(channels, in_channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("noise", torch.randn(side, side))
        # The transposed convolution gives one row and column too many; this filter removes them.
        self.blur = Resample(lowpass(side, side + 1, stride=1, offset=2)) if up else None

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """x [B, in_channels, S, S] and w [B, w_dim] to [B, channels, side, side], S = side, or half of it with `up`."""
        style = self.style(w)  # [B, in_channels]
        # Scaling inputs and outputs equals modulating the weights for every sample, but builds no such weights. The sum is the
        # one of eq. 3.
        squares = style.square() @ self.weight.square().sum((2, 3)).mT  # [B, channels]
        x = x * style[:, :, None, None]
        if self.blur is None:
            x = conv2d(x, self.weight, padding=1)
        else:
            x = self.blur(conv_transpose2d(x, self.weight.transpose(0, 1), stride=2))
        shape = (x.shape[0], 1, self.side, self.side)
        noise = draw_rows(torch.randn, shape, device=x.device, dtype=x.dtype) if self.training else self.noise
        x = x * (squares + 1e-8).rsqrt()[:, :, None, None] + noise * self.noise_strength
        return activate(x + self.bias)


class ToRGB(nn.Module):
    """Features to image channels: a 1 x 1 convolution modulated by w, without demodulation."""

    def __init__(self, in_channels: int, channels: int, w_dim: int) -> None:
        super().__init__()
        self.style = EqualLinear(w_dim, in_channels, bias=1.0)
        self.weight = nn.Parameter(torch.randn(channels, in_channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.gain = 1 / math.sqrt(in_channels)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """x [B, in_channels, S, S] and w [B, w_dim] to [B, channels, S, S]."""
        return conv2d(x * (self.style(w) * self.gain)[:, :, None, None], self.weight, self.bias)


class Synthesis(nn.Module):
    """g: W to images, the sum of the images of all resolutions (StyleGAN2, figure 7b, output skips)."""

    def __init__(self, spec: Spec, w_dim: int, channels: Sequence[int]) -> None:
        super().__init__()
        maps = sides(spec)
        self.num_layers = 2 * len(maps)  # the last image layer has its own w, the others use the next convolution's
        self.start = nn.Parameter(torch.randn(channels[0], maps[0], maps[0]))
        self.convs, self.ups, self.images = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for k, (side, width) in enumerate(zip(maps, channels, strict=True)):
            if k > 0:
                self.convs.append(StyledConv(channels[k - 1], width, w_dim, side, up=True))
                self.ups.append(upsample(side // 2))
            self.convs.append(StyledConv(width, width, w_dim, side, up=False))
            self.images.append(ToRGB(width, spec.shape[0], w_dim))

    def forward(self, w: Tensor) -> Tensor:
        """w [B, w_dim] for all layers, or [B, num_layers, w_dim], to images [B, *shape]."""
        ws = w.unbind(1) if w.dim() == 3 else [w] * self.num_layers
        x = self.start.expand(w.shape[0], -1, -1, -1)  # [B, channels, 4, 4], or 7 x 7
        x = self.convs[0](x, ws[0])
        image = self.images[0](x, ws[1])
        for k, up in enumerate(self.ups, 1):
            x = self.convs[2 * k - 1](x, ws[2 * k - 1])
            x = self.convs[2 * k](x, ws[2 * k])
            image = up(image) + self.images[k](x, ws[2 * k + 1])
        return image


class StyleGAN2Generator(nn.Module):
    """Latents to images through the intermediate latent space W.

    Two parts may be called separately, and change no state: `mapping(z, y)` to w [B, w_dim], and `synthesis(w)` to images
    from w [B, w_dim] or, with a w for each layer, [B, num_layers, w_dim].

    z_dim, w_dim: sizes of the two latents.
    mapping_layers: number of layers from z to w.
    channel_base, channel_max: the features at side r have min(channel_base / r, channel_max) channels.
    style_mixing: in training, the share of images whose later layers get the w of another latent (StyleGAN, section 3.1).
    conditional: whether the class label is an input.
    """

    truncates = True
    w_mean: Tensor

    def __init__(
        self,
        spec: Spec,
        z_dim: int = 512,
        w_dim: int = 512,
        mapping_layers: int = 8,
        channel_base: int = 32768,
        channel_max: int = 512,
        style_mixing: float = 0.9,
        conditional: bool = False,
    ) -> None:
        super().__init__()
        self.z_dim, self.style_mixing, self.classes = z_dim, style_mixing, count_classes(spec, conditional)
        self.mapping = Mapping(z_dim, w_dim, mapping_layers, self.classes)
        self.synthesis = Synthesis(spec, w_dim, [min(channel_base // side, channel_max) for side in sides(spec)])
        self.num_layers = self.synthesis.num_layers
        self.register_buffer("w_mean", torch.zeros(w_dim))

    def forward(self, z: Tensor, y: Tensor | None = None, truncation: float = 1.0) -> Tensor:
        """z [B, z_dim] from N(0, I), and labels y [B] if conditional, to images [B, *shape] that should be in [-1, 1].

        As in the paper, the network does not bound them: quantisation clamps them.
        truncation: psi of StyleGAN, appendix B; 1 leaves w as it is, 0 gives the image of the mean w for every z.
        """
        w = self.mapping(z, y)  # [B, w_dim]
        if self.training:
            self.w_mean.lerp_(w.detach().mean(0).to(self.w_mean), 1 - W_MEAN_DECAY)
            if self.style_mixing > 0:
                w = self.mix(w, self.mapping(draw_rows(torch.randn, z.shape, device=z.device, dtype=z.dtype), y))
        if truncation != 1:
            w = self.w_mean + truncation * (w - self.w_mean)
        return self.synthesis(w)

    def mix(self, w: Tensor, other: Tensor) -> Tensor:
        """w, other [B, w_dim] to [B, num_layers, w_dim]: `other` from a random layer on, for random samples."""
        batch, layers = w.shape[0], self.num_layers
        crossover = draw_rows(partial(torch.randint, 1, layers), (batch, 1), device=w.device)
        mixed = draw_rows(torch.rand, (batch, 1), device=w.device) < self.style_mixing
        later = mixed & (torch.arange(layers, device=w.device) >= crossover)  # [B, num_layers]
        return torch.where(later[:, :, None], other[:, None], w[:, None])
