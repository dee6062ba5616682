"""R3GAN (Huang et al. 2024, "The GAN is dead; long live the GAN!", arXiv:2501.05441): ResNets without normalisation."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from src.data.spec import Spec
from src.networks.sizes import count_classes, sides
from src.networks.stylegan2 import downsample, upsample

SLOPE = 0.2
GAIN = math.sqrt(2 / (1 + SLOPE**2))  # for LeakyReLU (He et al. 2015)


def convolution(
    in_channels: int, channels: int, kernel: int = 1, groups: int = 1, gain: float = 1.0, bias: bool = False
) -> nn.Conv2d:
    """A convolution that keeps the side, with weights N(0, gain^2 / fan-in); a bias starts at zero."""
    layer = nn.Conv2d(in_channels, channels, kernel, padding=kernel // 2, groups=groups, bias=bias)
    nn.init.normal_(layer.weight, std=gain / math.sqrt(in_channels // groups * kernel**2))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


class Residual(nn.Module):
    """x + f(x), where f is an inverted bottleneck of three convolutions; the middle one is grouped (section 4).

    Fix-up initialisation (Zhang et al. 2019) replaces normalisation: the last convolution starts at zero, the others are scaled
    by depth^(-1/4), where depth is the network's number of blocks.
    """

    def __init__(self, channels: int, expansion: int, cardinality: int, depth: int) -> None:
        super().__init__()
        inner, gain = channels * expansion, GAIN * depth**-0.25
        self.layers = nn.Sequential(
            convolution(channels, inner, gain=gain, bias=True),
            nn.LeakyReLU(SLOPE, inplace=True),
            convolution(inner, inner, kernel=3, groups=cardinality, gain=gain, bias=True),
            nn.LeakyReLU(SLOPE, inplace=True),
            convolution(inner, channels, gain=0.0),
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, channels, S, S] to the same shape."""
        return x + self.layers(x)


class GenerativeBasis(nn.Module):
    """Latents to the first feature map: a learned map for each channel, times a linear function of the latent."""

    def __init__(self, size: int, channels: int, side: int) -> None:
        super().__init__()
        self.basis = nn.Parameter(torch.randn(channels, side, side))
        self.weights = nn.Linear(size, channels, bias=False)
        nn.init.normal_(self.weights.weight, std=1 / math.sqrt(size))

    def forward(self, x: Tensor) -> Tensor:
        """[B, size] to [B, channels, side, side]."""
        return self.weights(x)[:, :, None, None] * self.basis


class DiscriminativeBasis(nn.Module):
    """The last feature map to features: the inner product of each channel with a learned map, then a linear layer."""

    def __init__(self, channels: int, size: int, side: int) -> None:
        super().__init__()
        self.basis = nn.Parameter(torch.randn(channels, side, side) / side)
        self.weights = nn.Linear(channels, size, bias=False)
        nn.init.normal_(self.weights.weight, std=1 / math.sqrt(channels))

    def forward(self, x: Tensor) -> Tensor:
        """[B, channels, side, side] to [B, size]."""
        return self.weights((x * self.basis).sum((2, 3)))


def stages(spec: Spec, widths: Sequence[int], cardinality: Sequence[int]) -> list[tuple[int, int, int]]:
    """(side, width, cardinality) from the lowest resolution up to the image's."""
    maps = sides(spec)
    if min(len(widths), len(cardinality)) < len(maps):
        raise ValueError(
            f"images of side {maps[-1]} need {len(maps)} stages, of sides {maps}: give as many widths and cardinalities "
            f"(here {len(widths)} and {len(cardinality)})"
        )
    return list(zip(maps, widths, cardinality, strict=False))  # a smaller image can use a larger one's settings


class R3GANGenerator(nn.Module):
    """Latents to images. The defaults are those of the official code for CIFAR-10, at 32 x 32.

    z_dim: size of the latent, and of the label's embedding, which is concatenated to it.
    widths: channels of the stages from the lowest resolution up; stages that the image does not need are left out.
    blocks: residual blocks of each stage.
    cardinality: groups of the grouped convolutions, for each stage.
    expansion: factor of the channels within a block.
    conditional: whether the class label is an input.
    """

    def __init__(
        self,
        spec: Spec,
        z_dim: int = 64,
        widths: Sequence[int] = (768, 768, 768, 768),
        blocks: int = 2,
        cardinality: Sequence[int] = (96, 96, 96, 96),
        expansion: int = 2,
        conditional: bool = False,
    ) -> None:
        super().__init__()
        self.z_dim, self.classes = z_dim, count_classes(spec, conditional)
        plan = stages(spec, widths, cardinality)
        layers: list[nn.Module] = []
        size = 2 * z_dim if conditional else z_dim
        for k, (side, width, groups) in enumerate(plan):
            if k == 0:
                layers.append(GenerativeBasis(size, width, side))
            else:
                layers += [convolution(size, width)] if size != width else []
                layers.append(upsample(side // 2))
            layers += [Residual(width, expansion, groups, depth=blocks * len(plan)) for _ in range(blocks)]
            size = width
        self.layers = nn.Sequential(*layers, convolution(size, spec.shape[0]))
        if conditional:
            self.embedding = nn.Embedding(self.classes, z_dim)
            nn.init.normal_(self.embedding.weight, std=1 / math.sqrt(self.classes))

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """z [B, z_dim] from N(0, I), and labels y [B] if conditional, to images [B, *shape] that should be in [-1, 1].

        As in the paper, the network does not bound them: quantisation clamps them.
        """
        if self.classes:
            z = torch.cat([z, self.embedding(y)], 1)  # [B, 2 z_dim]
        return self.layers(z)


class R3GANDiscriminator(nn.Module):
    """Images to one logit each: the generator's stages in reverse.

    widths, blocks, cardinality, expansion: as in the generator, also from the lowest resolution up.
    conditional: the logit is the inner product of `widths[0]` features and the label's embedding.
    """

    def __init__(
        self,
        spec: Spec,
        widths: Sequence[int] = (768, 768, 768, 768),
        blocks: int = 2,
        cardinality: Sequence[int] = (96, 96, 96, 96),
        expansion: int = 2,
        conditional: bool = False,
    ) -> None:
        super().__init__()
        self.classes = count_classes(spec, conditional)
        plan = stages(spec, widths, cardinality)[::-1]
        size = plan[0][1]
        layers: list[nn.Module] = [convolution(spec.shape[0], size)]
        for k, (side, width, groups) in enumerate(plan):
            if k > 0:
                layers.append(downsample(2 * side))
                layers += [convolution(size, width)] if size != width else []
            layers += [Residual(width, expansion, groups, depth=blocks * len(plan)) for _ in range(blocks)]
            size = width
        self.layers = nn.Sequential(*layers, DiscriminativeBasis(size, size if conditional else 1, plan[-1][0]))
        if conditional:
            self.embedding = nn.Embedding(self.classes, size)
            nn.init.normal_(self.embedding.weight, std=1 / math.sqrt(size * self.classes))

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Images [B, *shape] in [-1, 1], and labels y [B] if conditional, to logits [B]."""
        x = self.layers(x)  # [B, 1], or [B, widths[0]]
        if self.classes:
            x = x * self.embedding(y)
        return x.sum(1)
