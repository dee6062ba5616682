"""Fully connected encoder and decoder of a variational autoencoder for images."""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from src.data.spec import Spec
from src.networks.pixel_likelihoods import PixelDecoder
from src.networks.sizes import count_classes


class MLPVAE(nn.Module):
    """The two networks of a variational autoencoder (Kingma and Welling 2014, appendix C).

    z_dim: size of the latent.
    widths: sizes of the encoder's hidden layers, from the image to the latent; the decoder has them in reverse.
    mixtures: see DiscretisedLogistics, the likelihood of images with 256 levels.
    activation: between layers, "relu" or "tanh".
    conditional: the one-hot class is concatenated to the input of both (Kingma et al. 2014, M2), and the classes have priors of
        their own, see ClassPrior.
    """

    def __init__(
        self,
        spec: Spec,
        z_dim: int = 32,
        widths: Sequence[int] = (512, 512),
        mixtures: int = 1,
        activation: str = "relu",
        conditional: bool = False,
    ) -> None:
        super().__init__()
        prior = ClassPrior(count_classes(spec, conditional), z_dim)
        self.decoder = MLPDecoder(spec, z_dim, widths[::-1], mixtures, activation, prior)
        self.encoder = MLPEncoder(spec, z_dim, widths, activation, prior)


class MLPEncoder(nn.Module):
    """Images to the mean and the log-variance of a Gaussian over latents. Arguments: see MLPVAE."""

    def __init__(self, spec: Spec, z_dim: int, widths: Sequence[int], activation: str, prior: "ClassPrior") -> None:
        super().__init__()
        self.classes, self.prior = prior.classes, prior
        self.layers = layers([math.prod(spec.shape) + self.classes, *widths, 2 * z_dim], activation)

    def forward(self, x: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """x [B, C, H, W] in [-1, 1], y [B] if conditional, to mean and log-variance, each [B, z_dim]."""
        mean, log_variance = self.layers(with_class(x.flatten(1), y, self.classes)).chunk(2, dim=1)
        return self.prior.standardise(mean, log_variance, y)


class MLPDecoder(PixelDecoder):
    """Latents to the distribution of each pixel. Arguments: see MLPVAE; widths: from the latent to the image."""

    def __init__(
        self, spec: Spec, z_dim: int, widths: Sequence[int], mixtures: int, activation: str, prior: "ClassPrior"
    ) -> None:
        super().__init__(spec, mixtures)
        self.z_dim, self.classes, self.prior = z_dim, prior.classes, prior
        self.layers = layers([z_dim + self.classes, *widths, self.pixels.numbers * math.prod(spec.shape)], activation)

    def parameters_of(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """See PixelDecoder."""
        return self.layers(with_class(self.prior(z, y), y, self.classes)).unflatten(1, (self.pixels.numbers, *self.shape))


class ClassPrior(nn.Module):
    """A learned Gaussian prior of each class (Sohn et al. 2015), p(u | y) = N(mean_y, scale_y^2), as a change of variables.

    u is the latent between encoder and decoder; outside the network it is z = (u - mean_y) / scale_y, with p(z) = N(0, I). The
    divergence of the posterior from the prior is the same for both. Without it, samples give the decoder pairs of z and y that
    it has not seen in training: z tells the class too, and the price of that is small beside the likelihood of 784 pixels.

    classes: their number; 0 for none, z is then u.
    """

    def __init__(self, classes: int, z_dim: int) -> None:
        super().__init__()
        self.classes = classes
        self.mean = nn.Parameter(torch.zeros(classes, z_dim)) if classes else None
        self.log_scale = nn.Parameter(torch.zeros(classes, z_dim)) if classes else None

    def forward(self, z: Tensor, y: Tensor | None) -> Tensor:
        """z [B, z_dim] and classes y [B] to u [B, z_dim]."""
        if self.mean is None or self.log_scale is None:
            return z
        assert y is not None, NO_LABELS
        return self.mean[y] + self.log_scale[y].exp() * z

    def standardise(self, mean: Tensor, log_variance: Tensor, y: Tensor | None) -> tuple[Tensor, Tensor]:
        """Mean and log-variance [B, z_dim] of u to those of z."""
        if self.mean is None or self.log_scale is None:
            return mean, log_variance
        assert y is not None, NO_LABELS
        return (mean - self.mean[y]) * (-self.log_scale[y]).exp(), log_variance - 2 * self.log_scale[y]


NO_LABELS = "a conditional network needs labels"
ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh}


def layers(sizes: Sequence[int], activation: str) -> nn.Sequential:
    """Linear layers of these sizes with an activation between them."""
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation={activation}: must be one of {', '.join(ACTIVATIONS)}")
    linear = [nn.Linear(a, b) for a, b in pairwise(sizes)]
    hidden = [module for layer in linear[:-1] for module in (layer, ACTIVATIONS[activation]())]
    return nn.Sequential(*hidden, linear[-1])


def with_class(x: Tensor, y: Tensor | None, classes: int) -> Tensor:
    """x [B, D] concatenated to the one-hot class y [B]: [B, D + classes]."""
    if not classes:
        return x
    assert y is not None, NO_LABELS
    return torch.cat([x, one_hot(y, classes).to(x.dtype)], dim=1)
