"""Distributions of the pixels of an image, independent given the numbers that a decoder computes for each pixel."""

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid

from src.data.spec import Spec

HALF_LEVEL = 1 / 255  # half the distance between neighbouring pixel levels in [-1, 1]
BEYOND = 1e6  # from the first and the last level to their outer borders, instead of infinity
LOG_SCALE = -2.0  # at the start of training


class Bernoulli:
    """Pixels that are black (-1) or white (1): one number for each, the logit of white."""

    numbers = 1

    def log_prob(self, x: Tensor, h: Tensor) -> Tensor:
        """log p(x) [B] in nats, of images x [B, C, H, W] given the decoder's numbers h [B, 1, C, H, W]."""
        return -binary_cross_entropy_with_logits(h.squeeze(1), (x + 1) / 2, reduction="none").flatten(1).sum(1)

    def typical(self, h: Tensor) -> Tensor:
        """The mean of each pixel, 2 p - 1: h [B, 1, C, H, W] to [B, C, H, W] in [-1, 1]."""
        return torch.tanh(h.squeeze(1) / 2)


class DiscretisedLogistics:
    """Pixels of 256 levels: a mixture of discretised logistic distributions (Salimans et al. 2017, eq. 1 and 2).

    mixtures: number K of components. A pixel has 2 numbers for K = 1, location and log-scale, and 3 K for more: K logits of the
    weights as well. Channels are independent, unlike in that paper.
    """

    def __init__(self, mixtures: int = 1) -> None:
        if mixtures < 1:
            raise ValueError(f"mixtures={mixtures}: must be 1 or more")
        self.mixtures, self.numbers = mixtures, 2 if mixtures == 1 else 3 * mixtures

    def log_prob(self, x: Tensor, h: Tensor) -> Tensor:
        """log p(x) [B] in nats, of images x [B, C, H, W] given the decoder's numbers h [B, numbers, C, H, W]."""
        location, log_scale, *logits = h.split(self.mixtures, dim=1)  # each [B, K, C, H, W]
        log_p = log_discretised_logistic(x[:, None], location, log_scale + LOG_SCALE)
        log_p = (log_p + logits[0].log_softmax(1)).logsumexp(1) if logits else log_p.squeeze(1)
        return log_p.flatten(1).sum(1)

    def typical(self, h: Tensor) -> Tensor:
        """The median of each pixel for K = 1, else that of its most probable component: h to [B, C, H, W] in [-1, 1]."""
        location, _, *logits = h.split(self.mixtures, dim=1)
        location = location.clamp(-1, 1)  # beyond the ends, a pixel is almost surely black or white
        return location.gather(1, logits[0].argmax(1, keepdim=True)).squeeze(1) if logits else location.squeeze(1)


class PixelDecoder(nn.Module):
    """The part that decoders share. A subclass defines `parameters_of` and sets `z_dim` and `classes`.

    mixtures: see DiscretisedLogistics; data of two levels have Bernoulli pixels.
    """

    def __init__(self, spec: Spec, mixtures: int = 1) -> None:
        super().__init__()
        if spec.kind != "image" or spec.x.dtype != "uint8":
            raise ValueError(f"this network is for images of 2 or 256 levels and the data are {spec.kind}: take image data")
        if spec.x.levels == 2 and mixtures != 1:
            raise ValueError(f"mixtures={mixtures}: pixels of two levels are no mixtures, take mixtures=1")
        self.pixels = Bernoulli() if spec.x.levels == 2 else DiscretisedLogistics(mixtures)
        self.shape = spec.shape

    def parameters_of(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Latents z [B, z_dim] and classes y [B], if conditional, to the numbers of all pixels [B, numbers, C, H, W]."""
        raise NotImplementedError

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """z [B, z_dim], y [B] if conditional, to images [B, C, H, W] in [-1, 1]: what is typical of each pixel."""
        return self.pixels.typical(self.parameters_of(z, y))

    def log_likelihood(self, x: Tensor, z: Tensor, y: Tensor | None = None) -> Tensor:
        """log p(x | z, y) [B] in nats, of images x [B, C, H, W] in [-1, 1]."""
        return self.pixels.log_prob(x, self.parameters_of(z, y))


def log_discretised_logistic(x: Tensor, location: Tensor, log_scale: Tensor) -> Tensor:
    """Log-probability in nats of pixels x, levels k / 127.5 - 1 with k = 0..255 (Salimans et al. 2017, eq. 2).

    Arguments are broadcast to one shape, that of the result. A logistic variable is rounded to the nearest level; the first and
    the last level also cover all values beyond them. With a and b the standardised upper and lower border of a level,
    sigma(a) - sigma(b) = sigma(a) sigma(-b) (1 - exp(b - a)). The right side loses no digits if both terms on the left are near
    0 or near 1.
    """
    first, last = (x < HALF_LEVEL - 1).to(x.dtype), (x > 1 - HALF_LEVEL).to(x.dtype)
    # Sums instead of masks, which are several times as slow on a CPU.
    upper, lower = x + HALF_LEVEL + BEYOND * last, x - HALF_LEVEL - BEYOND * first
    precision = torch.exp(-log_scale)
    width = torch.log(-torch.expm1(-2 * HALF_LEVEL * precision))
    return logsigmoid((upper - location) * precision) + logsigmoid((location - lower) * precision) + (1 - first - last) * width
