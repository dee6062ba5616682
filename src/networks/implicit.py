"""A generator on coordinates: CIPS (Anokhin et al. 2021, arXiv:2011.13775), INR-GAN (Skorokhodov et al. 2021, 2011.12026).

Each pixel's colour is a function of its coordinates and of the latent alone, so that a sample has any resolution.
From CIPS: learned Fourier features of the coordinates, modulated and demodulated fully connected layers (section 3), but few.
Left out: CIPS's learned vector for each pixel, which needs a fixed resolution, and INR-GAN's multi-scale layers, which only
save time on large images. It works with any discriminator.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from src.data.spec import Spec
from src.networks.sizes import count_classes, square_side


class ModulatedLinear(nn.Module):
    """A linear layer with different weights for each sample (Karras et al. 2020a, StyleGAN2, section 2.2, eq. 1 and 3).

    w'_ij = s_j w_ij with s from the style; if `demodulate`, divided by sqrt(sum_j w'_ij^2 / 2), so that inputs of mean square 1
    give outputs of mean square 1 after the rectifier. There are fewer weights than pixels, so scaling the weights is cheapest.
    """

    def __init__(self, inputs: int, outputs: int, style: int, demodulate: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / inputs**0.5)
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.scale = nn.Linear(style, inputs)
        nn.init.normal_(self.scale.weight, std=style**-0.5)
        nn.init.ones_(self.scale.bias)
        self.demodulate = demodulate

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """x [B, P, inputs] and style [B, style] to [B, P, outputs]."""
        weight = self.weight * self.scale(style)[:, None]  # [B, outputs, inputs]
        if self.demodulate:
            weight = weight * torch.rsqrt(weight.square().sum(2, keepdim=True) / 2 + 1e-8)
        return torch.baddbmm(self.bias, x, weight.mT)


class ImplicitGenerator(nn.Module):
    """A small perceptron from coordinates to colours, modulated by a style; a mapping computes the style from the latent.

    z_dim: size of the latent.
    width: size of the style and of the hidden layers.
    depth: hidden layers.
    features: number of sines of the coordinates, the perceptron's input.
    conditional: an embedding of the class is concatenated to the latent as input of the mapping.
    """

    def __init__(
        self, spec: Spec, z_dim: int = 64, width: int = 128, depth: int = 4, features: int = 64, conditional: bool = False
    ) -> None:
        super().__init__()
        self.z_dim, self.side, self.classes = z_dim, square_side(spec), count_classes(spec, conditional)
        self.embedding = nn.Embedding(self.classes, z_dim) if conditional else None
        first, second = nn.Linear(2 * z_dim if conditional else z_dim, width), nn.Linear(width, width)
        for layer in (first, second):  # PyTorch's default would shrink the style, and samples would hardly differ
            nn.init.kaiming_normal_(layer.weight, a=0.2)
        self.mapping = nn.Sequential(first, nn.LeakyReLU(0.2), second, nn.LeakyReLU(0.2))
        # The highest frequency that the training pixels can represent is pi per pixel, pi side / 2 per unit. An eighth of it
        # keeps the features smooth between pixels; the later layers make sharp edges.
        self.frequencies = nn.Parameter(torch.randn(2, features) * math.pi * self.side / 16)
        self.phases = nn.Parameter((2 * torch.rand(features) - 1) * math.pi)
        self.hidden = nn.ModuleList(ModulatedLinear(features if k == 0 else width, width, width) for k in range(depth))
        self.colour = ModulatedLinear(width, spec.shape[0], width, demodulate=False)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """z [B, z_dim] from N(0, I) and, if conditional, labels y [B] to images [B, *shape] in [-1, 1]."""
        return self.render(z, y, side=self.side)

    def render(self, z: Tensor, y: Tensor | None = None, *, side: int) -> Tensor:
        """The same images at any resolution, [B, C, side, side]; memory grows with B * side^2 * width."""
        z = F.normalize(z, dim=1) * self.z_dim**0.5  # the mapping gets only the direction, as in StyleGAN
        if self.embedding is not None:
            z = torch.cat([z, self.embedding(y)], dim=1)  # [B, 2 z_dim]
        style = self.mapping(z)  # [B, width]
        # No matrix product: mixed precision would round the coordinates.
        angles = (pixel_centres(side).to(z)[:, :, None] * self.frequencies).sum(1) + self.phases  # [P, features]
        x = math.sqrt(2) * torch.sin(angles).expand(len(z), -1, -1)  # [B, P, features], of mean square 1
        for layer in self.hidden:
            x = F.leaky_relu(layer(x, style), 0.2, inplace=True)  # [B, P, width]
        return torch.tanh(self.colour(x, style)).mT.unflatten(2, (side, side))


def pixel_centres(side: int) -> Tensor:
    """(x, y) of the pixels of an image that fills [-1, 1]^2, row by row: [side^2, 2], x to the right and y down."""
    line = (2 * torch.arange(side) + 1) / side - 1  # [side]
    return torch.cartesian_prod(line, line).flip(1)  # [side^2, 2]
