"""Parts of the convolutional networks: widths, residual blocks, conditional batch norm, initialisation, spectral norm."""

from collections.abc import Callable
from math import sqrt

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from src.data.spec import Spec
from src.networks.sizes import sides


def channels_at(side: int, width: int) -> int:
    """Channels of a feature map: `width` up to 32 x 32, halved at each further doubling, for the same cost per map."""
    return width * 32 // max(side, 32)


class ConditionalBatchNorm(nn.Module):
    """Batch norm whose gain and bias depend on a condition (Dumoulin et al. 2017; de Vries et al. 2017).

    gain, bias: modules from the condition, such as labels [B], to [B, channels]; features are scaled by 1 + gain.
    """

    def __init__(self, channels: int, gain: nn.Module, bias: nn.Module) -> None:
        super().__init__()
        self.normalise, self.gain, self.bias = nn.BatchNorm2d(channels, affine=False), gain, bias

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        gain, bias = self.gain(condition)[:, :, None, None], self.bias(condition)[:, :, None, None]  # [B, C, 1, 1]
        return self.normalise(x) * (1 + gain) + bias


class GeneratorBlock(nn.Module):
    """A residual block that doubles the side by repeating pixels (Miyato et al. 2018, appendix B.4).

    norm: from a number of channels to a normalisation layer.
    """

    def __init__(self, inputs: int, outputs: int, norm: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.norm1, self.conv1 = norm(inputs), nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm2, self.conv2 = norm(outputs), nn.Conv2d(outputs, outputs, 3, padding=1)
        self.shortcut = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor, *condition: Tensor) -> Tensor:
        """[B, inputs, S, S], and the condition of `norm`, if it has one, to [B, outputs, 2S, 2S]."""
        h = F.interpolate(F.relu(self.norm1(x, *condition)), scale_factor=2.0)
        h = self.conv2(F.relu(self.norm2(self.conv1(h), *condition)))
        # The papers convolve after upsampling: the same result for a 1 x 1 kernel, at four times the work.
        return h + F.interpolate(self.shortcut(x), scale_factor=2.0)


class DiscriminatorBlock(nn.Module):
    """A residual block without normalisation (Miyato et al. 2018, appendix B.4).

    downsample: halve the side, by averages over 2 x 2.
    first: x is an image, not features, and is not rectified.
    """

    def __init__(self, inputs: int, outputs: int, downsample: bool, first: bool = False) -> None:
        super().__init__()
        self.downsample, self.first = downsample, first
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.shortcut = nn.Conv2d(inputs, outputs, 1) if downsample or inputs != outputs else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, S, S] to [B, outputs, S, S], or S / 2."""
        h = self.conv2(F.relu(self.conv1(x if self.first else F.relu(x))))
        if self.downsample:  # pooling before the shortcut's 1 x 1 kernel is the same as after it, at a quarter of the work
            h, x = F.avg_pool2d(h, 2), F.avg_pool2d(x, 2)
        return h + self.shortcut(x)


def discriminator_blocks(spec: Spec, width: int) -> list[DiscriminatorBlock]:
    """Blocks that halve the side to at most 8, then two more; for 32 x 32 the four of Miyato et al. 2018, table 4."""
    side, inputs = sides(spec)[-1], spec.shape[0]
    blocks: list[DiscriminatorBlock] = []
    while side > 8 or not blocks:
        outputs = channels_at(side, width)
        blocks.append(DiscriminatorBlock(inputs, outputs, downsample=True, first=not blocks))
        side, inputs = side // 2, outputs
    return [*blocks, *(DiscriminatorBlock(width, width, downsample=False) for _ in range(2))]


def xavier(network: nn.Module) -> None:
    """Glorot and Bengio 2010, uniform: gain sqrt(2) in the residual branches, 1 elsewhere; biases zero.

    As in the authors' code of SNGAN and of the projection discriminator (pfnet-research/sngan_projection).
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for block in network.modules():
        if isinstance(block, GeneratorBlock | DiscriminatorBlock):
            nn.init.xavier_uniform_(block.conv1.weight, gain=sqrt(2))
            nn.init.xavier_uniform_(block.conv2.weight, gain=sqrt(2))


def add_spectral_norm(network: nn.Module, kinds: tuple[type[nn.Module], ...] = (nn.Conv2d, nn.Linear, nn.Embedding)) -> None:
    """Divide the weights of all layers of these kinds by their largest singular value (Miyato et al. 2018, section 2).

    Call it after the initialisation: it estimates the singular vectors from the current weights.
    """
    for module in list(network.modules()):
        if isinstance(module, kinds):
            parametrizations.spectral_norm(module)
