"""cGANs with projection discriminator (Miyato and Koyama 2018): SNGAN's residual networks, class-conditional."""

import torch.nn.functional as F
from torch import Tensor, nn

from src.data.spec import Spec
from src.networks.residual import (
    ConditionalBatchNorm,
    GeneratorBlock,
    add_spectral_norm,
    channels_at,
    discriminator_blocks,
    xavier,
)
from src.networks.sizes import count_classes, sides


class CGANPDGenerator(nn.Module):
    """SNGAN's generator with a gain and a bias for each class in the batch norms of its blocks.

    The last batch norm is the same for all classes, as in the authors' code.

    z_dim: size of the latent.
    width: channels of every feature map up to 32 x 32; each further doubling of the side halves them.
    """

    def __init__(self, spec: Spec, z_dim: int = 128, width: int = 256) -> None:
        super().__init__()
        self.z_dim, self.classes = z_dim, count_classes(spec)
        self.start, *larger = sides(spec)
        self.project = nn.Linear(z_dim, width * self.start**2)
        self.blocks = nn.ModuleList(
            GeneratorBlock(channels_at(side // 2, width), channels_at(side, width), self.class_norm) for side in larger
        )
        last = channels_at(larger[-1], width)
        self.output = nn.Sequential(nn.BatchNorm2d(last), nn.ReLU(), nn.Conv2d(last, spec.shape[0], 3, padding=1), nn.Tanh())
        xavier(self)

    def class_norm(self, channels: int) -> ConditionalBatchNorm:
        """All classes start with gain 1 and bias 0."""
        gain, bias = nn.Embedding(self.classes, channels), nn.Embedding(self.classes, channels)
        nn.init.zeros_(gain.weight)
        nn.init.zeros_(bias.weight)
        return ConditionalBatchNorm(channels, gain, bias)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        """z [B, z_dim] from N(0, I) and labels y [B] to images [B, *shape] in [-1, 1]."""
        h = self.project(z).unflatten(1, (-1, self.start, self.start))  # [B, width, 4, 4] or 7
        for block in self.blocks:
            h = block(h, y)
        return self.output(h)


class CGANPDDiscriminator(nn.Module):
    """SNGAN's discriminator; the inner product of features and class embedding is added to the logit (figure 1d).

    width: channels of every feature map below 32 x 32; each further doubling of the side halves them.
    """

    def __init__(self, spec: Spec, width: int = 128) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*discriminator_blocks(spec, width))
        self.head = nn.Linear(width, 1)
        self.embedding = nn.Embedding(count_classes(spec), width)
        xavier(self)
        nn.init.xavier_uniform_(self.embedding.weight)
        add_spectral_norm(self)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Images [B, *shape] in [-1, 1] and labels y [B] to logits [B]."""
        features = F.relu(self.blocks(x)).sum((2, 3))  # [B, width]
        return self.head(features).squeeze(1) + (self.embedding(y) * features).sum(1)
