"""SNGAN (Miyato et al. 2018): residual networks, the discriminator's with spectral norm."""

import torch.nn.functional as F
from torch import Tensor, nn

from src.data.spec import Spec
from src.networks.residual import GeneratorBlock, add_spectral_norm, channels_at, discriminator_blocks, xavier
from src.networks.sizes import sides


class SNGANGenerator(nn.Module):
    """Latents to images through residual blocks with batch norm (Miyato et al. 2018, table 4, for 32 x 32).

    Other sides get one block for each doubling from 4 or 7; each doubling beyond 32 halves the channels.

    z_dim: size of the latent.
    width: channels of every feature map up to 32 x 32.
    """

    def __init__(self, spec: Spec, z_dim: int = 128, width: int = 256) -> None:
        super().__init__()
        self.z_dim, self.classes = z_dim, 0
        self.start, *larger = sides(spec)
        self.project = nn.Linear(z_dim, width * self.start**2)
        self.blocks = nn.Sequential(
            *(GeneratorBlock(channels_at(side // 2, width), channels_at(side, width), nn.BatchNorm2d) for side in larger)
        )
        last = channels_at(larger[-1], width)
        self.output = nn.Sequential(nn.BatchNorm2d(last), nn.ReLU(), nn.Conv2d(last, spec.shape[0], 3, padding=1), nn.Tanh())
        xavier(self)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """z [B, z_dim] from N(0, I) to images [B, *shape] in [-1, 1]; y is ignored."""
        h = self.project(z).unflatten(1, (-1, self.start, self.start))  # [B, width, 4, 4] or 7
        return self.output(self.blocks(h))


class SNGANDiscriminator(nn.Module):
    """Images to one logit each through residual blocks and a sum over the positions (Miyato et al. 2018, table 4).

    width: channels of every feature map below 32 x 32; each further doubling of the side halves them.
    spectral_norm: without it this is the critic of WGAN-GP (Gulrajani et al. 2017), to be used with its penalty.
    """

    def __init__(self, spec: Spec, width: int = 128, spectral_norm: bool = True) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*discriminator_blocks(spec, width))
        self.head = nn.Linear(width, 1)
        xavier(self)
        if spectral_norm:
            add_spectral_norm(self)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Images [B, *shape] in [-1, 1] to logits [B]; y is ignored."""
        features = F.relu(self.blocks(x)).sum((2, 3))  # [B, width]
        return self.head(features).squeeze(1)
