"""BigGAN (Brock et al. 2019) at the scale of CIFAR-10: residual networks with class-conditional batch norm."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.data.spec import Spec
from src.networks.residual import ConditionalBatchNorm, GeneratorBlock, add_spectral_norm, channels_at, discriminator_blocks
from src.networks.sizes import count_classes, sides


class SelfAttention(nn.Module):
    """Attention of every position to the whole map (Zhang et al. 2019, section 3), added with a gain that starts at 0.

    Keys and values are pooled to half the side, as in the authors' code.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        small, half = max(channels // 8, 1), max(channels // 2, 1)
        self.query, self.key = nn.Conv2d(channels, small, 1, bias=False), nn.Conv2d(channels, small, 1, bias=False)
        self.value, self.output = nn.Conv2d(channels, half, 1, bias=False), nn.Conv2d(half, channels, 1, bias=False)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] to the same shape."""
        query = self.query(x).flatten(2)  # [B, C / 8, H W]
        key = F.max_pool2d(self.key(x), 2).flatten(2)  # [B, C / 8, H W / 4]
        value = F.max_pool2d(self.value(x), 2).flatten(2)  # [B, C / 2, H W / 4]
        # Written out: the fused attention of PyTorch has no second derivative, which gradient penalties need.
        weights = (query.transpose(1, 2) @ key).softmax(2)  # [B, H W, H W / 4]
        found = (value @ weights.transpose(1, 2)).unflatten(2, x.shape[2:])  # [B, C / 2, H, W]
        return x + self.gamma * self.output(found)


class BigGANGenerator(nn.Module):
    """Latents and labels to images (Brock et al. 2019, section 3 and appendix B), with spectral norm.

    The published CIFAR-10 runs (ajbrock/BigGAN-PyTorch, scripts/launch_cifar_ema.sh, and DiffAugment's, which follow it)
    use shared_dim=0, attention=0, orthogonal=False; the defaults here are the paper's.

    z_dim: size of the latent.
    width: channels of every feature map up to 32 x 32; each further doubling of the side halves them.
    shared_dim: size of the class embedding that all batch norms share; 0 gives each its own.
    hierarchical: z is split in equal parts: for the first layer, and for each block, concatenated to the class embedding.
    attention: self-attention follows one block, at the largest side up to this (16; 14 for 28 x 28); 0 for none.
    orthogonal: orthogonal initial weights (Saxe et al. 2014) instead of N(0, 0.02^2).
    """

    def __init__(
        self,
        spec: Spec,
        z_dim: int = 128,
        width: int = 256,
        shared_dim: int = 128,
        hierarchical: bool = False,
        attention: int = 16,
        orthogonal: bool = True,
    ) -> None:
        super().__init__()
        self.z_dim, self.classes = z_dim, count_classes(spec)
        self.start, *larger = sides(spec)
        parts = len(larger) + 1 if hierarchical else 1
        if z_dim % parts:
            raise ValueError(f"z_dim={z_dim} cannot be split into {parts} equal parts: take {z_dim + parts - z_dim % parts}")
        if hierarchical and not shared_dim:
            raise ValueError("a hierarchical latent is concatenated to the shared class embedding: set shared_dim above 0")
        self.part = z_dim // parts
        condition = shared_dim + (self.part if hierarchical else 0)

        def table(channels: int) -> nn.Module:
            return nn.Linear(condition, channels, bias=False) if shared_dim else nn.Embedding(self.classes, channels)

        def norm(channels: int) -> ConditionalBatchNorm:
            return ConditionalBatchNorm(channels, table(channels), table(channels))

        self.shared = nn.Embedding(self.classes, shared_dim) if shared_dim else nn.Identity()
        self.project = nn.Linear(self.part, width * self.start**2)
        attended = max((side for side in larger if side <= attention), default=0)
        self.blocks, self.attentions = nn.ModuleList(), nn.ModuleList()
        for side in larger:
            outputs = channels_at(side, width)
            self.blocks.append(GeneratorBlock(channels_at(side // 2, width), outputs, norm))
            self.attentions.append(SelfAttention(outputs) if side == attended else nn.Identity())
        self.output = nn.Sequential(
            nn.BatchNorm2d(outputs), nn.ReLU(), nn.Conv2d(outputs, spec.shape[0], 3, padding=1), nn.Tanh()
        )
        initialise(self, orthogonal)
        # Not for embeddings: the authors found that it harms the generator.
        add_spectral_norm(self, (nn.Conv2d, nn.Linear))

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        """z [B, z_dim] from N(0, I) and labels y [B] to images [B, *shape] in [-1, 1]."""
        first, *skips = z.split(self.part, 1)  # [B, part] each
        label = self.shared(y)  # [B, shared_dim], or y itself
        conditions = [torch.cat([label, skip], 1) for skip in skips] or [label] * len(self.blocks)
        h = self.project(first).unflatten(1, (-1, self.start, self.start))  # [B, width, 4, 4] or 7
        for block, attention, condition in zip(self.blocks, self.attentions, conditions, strict=True):
            h = attention(block(h, condition))
        return self.output(h)


class BigGANDiscriminator(nn.Module):
    """Images and labels to one logit each: residual blocks, self-attention, projection (Brock et al. 2019, appendix B).

    width: channels of every feature map below 32 x 32; each further doubling of the side halves them.
    attention, orthogonal: as in the generator.
    """

    def __init__(self, spec: Spec, width: int = 256, attention: int = 16, orthogonal: bool = True) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        side = spec.shape[-1]
        for block in discriminator_blocks(spec, width):
            blocks.append(block)
            side = side // 2 if block.downsample else side
            if side <= attention:
                blocks.append(SelfAttention(block.conv2.out_channels))
                attention = 0  # only one
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(width, 1)
        self.embedding = nn.Embedding(count_classes(spec), width)
        initialise(self, orthogonal)
        add_spectral_norm(self)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Images [B, *shape] in [-1, 1] and labels y [B] to logits [B]."""
        features = F.relu(self.blocks(x)).sum((2, 3))  # [B, width]
        return self.head(features).squeeze(1) + (self.embedding(y) * features).sum(1)


def initialise(network: nn.Module, orthogonal: bool) -> None:
    """Orthogonal weights or N(0, 0.02^2), biases zero."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear | nn.Embedding):
            if orthogonal:
                nn.init.orthogonal_(module.weight)
            else:
                nn.init.normal_(module.weight, std=0.02)
            if not isinstance(module, nn.Embedding) and module.bias is not None:
                nn.init.zeros_(module.bias)
