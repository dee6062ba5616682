"""DCGAN (Radford et al. 2015): strided convolutions and batch norm, with or without labels."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.data.spec import Spec
from src.networks.residual import add_spectral_norm
from src.networks.sizes import count_classes, sides

NO_LABELS = "a conditional network needs labels"


class DCGANGenerator(nn.Module):
    """Latents to images through transposed convolutions that double the side (Radford et al. 2015, section 3 and figure 1).

    z_dim: size of the latent.
    width: channels of the last hidden layer; they double with each halving of the side (the paper: 128, for 64 x 64).
    conditional: the one-hot label is concatenated to the latent (Mirza and Osindero 2014, section 3.2).
    """

    def __init__(self, spec: Spec, z_dim: int = 100, width: int = 64, conditional: bool = False) -> None:
        super().__init__()
        self.z_dim, self.classes = z_dim, count_classes(spec) if conditional else 0
        self.start, *_, last = sides(spec)
        inputs = width * last // self.start // 2
        # No bias before batch norm, which would subtract it again.
        self.project = nn.Linear(z_dim + self.classes, inputs * self.start**2, bias=False)
        layers: list[nn.Module] = [nn.BatchNorm2d(inputs), nn.ReLU(inplace=True)]
        while inputs > width:
            layers.append(nn.ConvTranspose2d(inputs, inputs // 2, 4, stride=2, padding=1, bias=False))
            inputs //= 2
            layers += [nn.BatchNorm2d(inputs), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers, nn.ConvTranspose2d(width, spec.shape[0], 4, stride=2, padding=1), nn.Tanh())
        initialise(self)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """z [B, z_dim] from N(0, I), labels y [B] if conditional, to images [B, *shape] in [-1, 1]."""
        if self.classes:
            assert y is not None, NO_LABELS
            z = torch.cat([z, F.one_hot(y, self.classes).to(z.dtype)], 1)  # [B, z_dim + K]
        return self.layers(self.project(z).unflatten(1, (-1, self.start, self.start)))


class DCGANDiscriminator(nn.Module):
    """Images to one logit each through strided convolutions and LeakyReLU (Radford et al. 2015, section 3).

    width: channels of the first layer; they double with each halving of the side.
    batch_norm: batch norm in all layers but the first; switch it off for gradient penalties.
    spectral_norm: divide each weight by its largest singular value (Miyato et al. 2018).
    conditional: the label is concatenated to the image as one-hot planes (Mirza and Osindero 2014).
    auxiliary: a second head on the same features predicts the class (Odena et al. 2017).
    """

    def __init__(
        self,
        spec: Spec,
        width: int = 64,
        batch_norm: bool = True,
        spectral_norm: bool = False,
        conditional: bool = False,
        auxiliary: bool = False,
    ) -> None:
        super().__init__()
        if conditional and auxiliary:
            raise ValueError("a discriminator that gets the class as input cannot predict it: choose conditional or auxiliary")
        self.classes = count_classes(spec) if conditional else 0
        smallest, *larger = sides(spec)
        self.first = nn.Conv2d(spec.shape[0] + self.classes, width, 4, stride=2, padding=1)
        layers: list[nn.Module] = [nn.LeakyReLU(0.2, inplace=True)]
        inputs = width
        for _ in larger[1:]:
            layers.append(nn.Conv2d(inputs, inputs * 2, 4, stride=2, padding=1, bias=not batch_norm))
            inputs *= 2
            if batch_norm:
                layers.append(nn.BatchNorm2d(inputs))
            layers.append(nn.LeakyReLU(0.2, inplace=True))
        self.features = nn.Sequential(*layers, nn.Flatten())
        self.head = nn.Linear(inputs * smallest**2, 1)
        self.classifier = nn.Linear(inputs * smallest**2, count_classes(spec)) if auxiliary else None
        initialise(self)
        if spectral_norm:
            add_spectral_norm(self)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Images [B, *shape] in [-1, 1], labels y [B] if conditional, to logits [B]."""
        h = self.first(x) if not self.classes else self.first_with_label(x, y)  # [B, width, H / 2, W / 2]
        return self.head(self.features(h)).squeeze(1)

    def first_with_label(self, x: Tensor, y: Tensor | None) -> Tensor:
        """The first layer on x and the K one-hot planes of y, [B, C + K, H, W], to [B, width, H / 2, W / 2].

        A constant plane adds the sum of those kernel taps that are not on the padding. To build and convolve the planes would
        take as long as the rest of a small network.
        """
        assert y is not None, NO_LABELS
        weight = self.first.weight  # read once: with spectral norm, each read is a step of the power iteration
        taps = F.unfold(torch.ones_like(x[:1, :1]), 4, stride=2, padding=1)  # [1, 16, H W / 4], 0 on the padding
        planes = weight[:, x.shape[1] :].flatten(2).transpose(0, 1) @ taps  # [K, width, H W / 4]
        h = F.conv2d(x, weight[:, : x.shape[1]], self.first.bias, stride=2, padding=1)
        return h + F.embedding(y, planes.flatten(1)).view_as(h)

    def classify(self, x: Tensor) -> Tensor:
        """Images [B, *shape] to class logits [B, K]; ValueError without the auxiliary classifier."""
        if self.classifier is None:
            raise ValueError("this discriminator has no auxiliary classifier: give it one (auxiliary: true)")
        return self.classifier(self.features(self.first(x)))


def initialise(network: nn.Module) -> None:
    """Weights from N(0, 0.02^2) (Radford et al. 2015, section 4), gains of batch norm from N(1, 0.02^2), biases zero."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear | nn.BatchNorm2d):
            nn.init.normal_(module.weight, mean=1.0 if isinstance(module, nn.BatchNorm2d) else 0.0, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
