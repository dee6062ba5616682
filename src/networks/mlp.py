"""Fully connected generator and discriminator, the smallest GAN."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from src.data.spec import Spec
from src.parallel.collectives import draw_rows, world_size


class MLPGenerator(nn.Module):
    """Latents to images through fully connected layers, LeakyReLU between them and tanh at the end.

    z_dim: size of the latent.
    widths: sizes of the hidden layers, from the latent to the image.
    bias: whether the layers have biases; without them, small inputs cannot give a black background through tanh.
    batch_norm: normalise each hidden layer over the batch (Ioffe & Szegedy 2015).
    slope: slope of LeakyReLU below zero.
    """

    def __init__(
        self,
        spec: Spec,
        z_dim: int = 100,
        widths: Sequence[int] = (256, 128),
        bias: bool = True,
        batch_norm: bool = False,
        slope: float = 0.2,
    ) -> None:
        super().__init__()
        self.z_dim, self.shape = z_dim, spec.shape
        layers: list[nn.Module] = []
        size = z_dim
        for width in widths:
            layers.append(nn.Linear(size, width, bias=bias and not batch_norm))
            if batch_norm:
                layers.append(nn.BatchNorm1d(width))
            layers.append(nn.LeakyReLU(slope, inplace=True))
            size = width
        self.layers = nn.Sequential(*layers, nn.Linear(size, math.prod(spec.shape), bias=bias), nn.Tanh())

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """z [B, z_dim] from N(0, I) to images [B, *shape] in [-1, 1]; y is ignored."""
        return self.layers(z).unflatten(1, self.shape)


class Dropout(nn.Dropout):
    """Dropout that draws masks for the global batch if ranks divide it, so that no two samples get the same mask."""

    def forward(self, x: Tensor) -> Tensor:
        """[B, ...] to the same shape."""
        if not self.training or world_size() == 1:
            return super().forward(x)
        kept = draw_rows(torch.rand, x.shape, device=x.device) >= self.p
        return x * kept / (1 - self.p)


class MLPDiscriminator(nn.Module):
    """Images to one logit each: high for real, low for fake.

    widths: sizes of the hidden layers, from the image to the logit.
    bias: whether the layers have biases.
    dropout: probability of dropping a hidden unit.
    spectral_norm: divide each weight by its largest singular value (Miyato et al. 2018).
    slope: slope of LeakyReLU below zero.
    offset: added to the images; 1 makes black zero, so that the many black pixels of a digit change no weight.
    """

    def __init__(
        self,
        spec: Spec,
        widths: Sequence[int] = (256, 128),
        bias: bool = True,
        dropout: float = 0.0,
        spectral_norm: bool = False,
        slope: float = 0.2,
        offset: float = 0.0,
    ) -> None:
        super().__init__()
        self.offset = offset
        norm = parametrizations.spectral_norm if spectral_norm else nn.Identity()
        layers: list[nn.Module] = [nn.Flatten()]
        size = math.prod(spec.shape)
        for width in widths:
            layers += [norm(nn.Linear(size, width, bias=bias)), nn.LeakyReLU(slope, inplace=True)]
            if dropout > 0:
                layers.append(Dropout(dropout))
            size = width
        self.layers = nn.Sequential(*layers, norm(nn.Linear(size, 1, bias=bias)))

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Images [B, *shape] in [-1, 1] to logits [B]; y is ignored."""
        return self.layers(x + self.offset).squeeze(1)
