"""Fully connected encoder and decoder of a variational autoencoder for images of 256 levels, and their likelihood."""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid, one_hot

from src.data.spec import Spec
from src.networks.sizes import count_classes

HALF_LEVEL = 1 / 255  # half the distance between neighbouring pixel levels in [-1, 1]


class MLPVAE(nn.Module):
    """The two networks of a variational autoencoder (Kingma and Welling 2014, appendix C).

    z_dim: size of the latent.
    widths: sizes of the encoder's hidden layers, from the image to the latent; the decoder has them in reverse.
    conditional: the one-hot class is concatenated to the input of both (Kingma et al. 2014, M2).
    """

    def __init__(self, spec: Spec, z_dim: int = 32, widths: Sequence[int] = (512, 512), conditional: bool = False) -> None:
        super().__init__()
        if spec.kind != "image":
            raise ValueError(f"this network is for images of 256 levels and the data are {spec.kind}: take image data")
        classes = count_classes(spec, conditional)
        self.encoder = MLPEncoder(math.prod(spec.shape), z_dim, widths, classes)
        self.decoder = MLPDecoder(spec.shape, z_dim, widths[::-1], classes)


class MLPEncoder(nn.Module):
    """Images to the mean and the log-variance of a Gaussian over latents.

    pixels: C * H * W. classes: number of classes, 0 if unconditional.
    """

    def __init__(self, pixels: int, z_dim: int, widths: Sequence[int], classes: int = 0) -> None:
        super().__init__()
        self.classes = classes
        self.layers = layers([pixels + classes, *widths, 2 * z_dim])

    def forward(self, x: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """x [B, C, H, W] in [-1, 1], y [B] if conditional, to mean and log-variance, each [B, z_dim]."""
        mean, log_variance = self.layers(with_class(x.flatten(1), y, self.classes)).chunk(2, dim=1)
        return mean, log_variance


class MLPDecoder(nn.Module):
    """Latents to a discretised logistic distribution for each pixel, independent given the latent.

    The location of each pixel comes from the latent, its scale is a parameter.

    shape: shape of an image (C, H, W). classes: number of classes, 0 if unconditional.
    """

    def __init__(self, shape: tuple[int, ...], z_dim: int, widths: Sequence[int], classes: int = 0) -> None:
        super().__init__()
        self.shape, self.z_dim, self.classes = shape, z_dim, classes
        self.layers = layers([z_dim + classes, *widths, math.prod(shape)])
        self.log_scale = nn.Parameter(torch.full(shape, -2.0))

    def location(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """z [B, z_dim], y [B] if conditional, to locations [B, C, H, W].

        They may be outside [-1, 1]: only then is a pixel almost surely black or white.
        """
        return self.layers(with_class(z, y, self.classes)).unflatten(1, self.shape)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """z [B, z_dim], y [B] if conditional, to images [B, C, H, W] in [-1, 1]: the median of each pixel."""
        return self.location(z, y).clamp(-1, 1)

    def log_likelihood(self, x: Tensor, z: Tensor, y: Tensor | None = None) -> Tensor:
        """log p(x | z, y) [B] in nats, of images x [B, C, H, W] in [-1, 1] that have 256 levels."""
        return log_discretised_logistic(x, self.location(z, y), self.log_scale).flatten(1).sum(1)


def log_discretised_logistic(x: Tensor, location: Tensor, log_scale: Tensor) -> Tensor:
    """Log-probability in nats of pixels x, levels k / 127.5 - 1 with k = 0..255 (Salimans et al. 2017, eq. 2), shape of x.

    A logistic variable is rounded to the nearest level; the first and the last level also cover all values beyond them. With
    a and b the standardised upper and lower border of a level, sigma(a) - sigma(b) = sigma(a) sigma(-b) (1 - exp(b - a)).
    The right side loses no digits if both terms on the left are near 0 or near 1.
    """
    first, last = x < HALF_LEVEL - 1, x > 1 - HALF_LEVEL
    precision = torch.exp(-log_scale)
    below_upper = logsigmoid((x + HALF_LEVEL - location) * precision).masked_fill(last, 0)
    above_lower = logsigmoid((location - x + HALF_LEVEL) * precision).masked_fill(first, 0)
    width = torch.log(-torch.expm1(-2 * HALF_LEVEL * precision)).expand_as(x).masked_fill(first | last, 0)
    return below_upper + above_lower + width


def layers(sizes: Sequence[int]) -> nn.Sequential:
    """Linear layers of these sizes with ReLU between them."""
    linear = [nn.Linear(a, b) for a, b in pairwise(sizes)]
    hidden = [module for layer in linear[:-1] for module in (layer, nn.ReLU(inplace=True))]
    return nn.Sequential(*hidden, linear[-1])


def with_class(x: Tensor, y: Tensor | None, classes: int) -> Tensor:
    """x [B, D] concatenated to the one-hot class y [B]: [B, D + classes]."""
    if not classes:
        return x
    assert y is not None, "a conditional network needs labels"
    return torch.cat([x, one_hot(y, classes).to(x.dtype)], dim=1)
