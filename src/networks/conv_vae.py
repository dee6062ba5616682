"""Convolutional encoder and decoder of a variational autoencoder for square images."""

from torch import Tensor, nn

from src.data.spec import Spec
from src.networks.pixel_likelihoods import PixelDecoder
from src.networks.sizes import count_classes, sides
from src.networks.vae import NO_LABELS, ClassPrior, with_class


class ConvVAE(nn.Module):
    """Strided convolutions from the image to a map of 7 or 4 pixels, and transposed ones back, with residual blocks between.

    There is no normalisation: it would take as long as the convolutions on a CPU, and networks of this depth train without.

    z_dim: size of the latent.
    width: channels at half the image's side; they double with each further halving.
    blocks: residual blocks after each convolution that changes the side, except at the image's own.
    mixtures: see DiscretisedLogistics, the likelihood of images with 256 levels.
    conditional: both networks get the class, and the classes have priors of their own, see ClassPrior.
    """

    def __init__(
        self, spec: Spec, z_dim: int = 32, width: int = 32, blocks: int = 1, mixtures: int = 1, conditional: bool = False
    ) -> None:
        super().__init__()
        prior = ClassPrior(count_classes(spec, conditional), z_dim)
        self.decoder = ConvDecoder(spec, z_dim, width, blocks, mixtures, prior)
        self.encoder = ConvEncoder(spec, z_dim, width, blocks, prior)


class ConvEncoder(nn.Module):
    """Images to the mean and the log-variance of a Gaussian over latents. Arguments: see ConvVAE."""

    def __init__(self, spec: Spec, z_dim: int, width: int, blocks: int, prior: ClassPrior) -> None:
        super().__init__()
        start, *larger = sides(spec)
        self.prior = prior
        self.label = nn.Embedding(prior.classes, width) if prior.classes else None
        self.first = nn.Conv2d(spec.shape[0], width, 4, stride=2, padding=1)
        layers: list[nn.Module] = [nn.ReLU(), *(Residual(width) for _ in range(blocks))]
        for _ in larger[1:]:
            layers += [nn.Conv2d(width, 2 * width, 4, stride=2, padding=1), nn.ReLU()]
            width *= 2
            layers += [Residual(width) for _ in range(blocks)]
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(width * start**2, 2 * z_dim))

    def forward(self, x: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """x [B, C, S, S] in [-1, 1], y [B] if conditional, to mean and log-variance, each [B, z_dim]."""
        h = self.first(x)  # [B, width, S / 2, S / 2]
        if self.label is not None:
            assert y is not None, NO_LABELS
            h = h + self.label(y)[:, :, None, None]
        mean, log_variance = self.layers(h).chunk(2, dim=1)
        return self.prior.standardise(mean, log_variance, y)


class ConvDecoder(PixelDecoder):
    """Latents to the distribution of each pixel. Arguments: see ConvVAE."""

    def __init__(self, spec: Spec, z_dim: int, width: int, blocks: int, mixtures: int, prior: ClassPrior) -> None:
        super().__init__(spec, mixtures)
        self.z_dim, self.classes, self.prior = z_dim, prior.classes, prior
        start, *larger = sides(spec)
        inputs = width * 2 ** (len(larger) - 1)
        layers: list[nn.Module] = [nn.Linear(z_dim + self.classes, inputs * start**2), nn.ReLU()]
        layers += [nn.Unflatten(1, (inputs, start, start)), *(Residual(inputs) for _ in range(blocks))]
        for _ in larger[1:]:
            layers += [nn.ConvTranspose2d(inputs, inputs // 2, 4, stride=2, padding=1), nn.ReLU()]
            inputs //= 2
            layers += [Residual(inputs) for _ in range(blocks)]
        outputs = self.pixels.numbers * spec.shape[0]
        self.layers = nn.Sequential(*layers, nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1))

    def parameters_of(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """See PixelDecoder."""
        h = self.layers(with_class(self.prior(z, y), y, self.classes))  # [B, numbers * C, S, S]
        return h.unflatten(1, (self.pixels.numbers, -1))


class Residual(nn.Module):
    """x + f(x) with two 3 x 3 convolutions, the identity at the start of training (Zhang et al. 2019, Fixup)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1))
        for parameter in self.layers[2].parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        """[B, width, S, S] to the same shape, not below 0."""
        return (x + self.layers(x)).relu()
