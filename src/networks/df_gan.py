"""DF-GAN, Tao et al. 2022, A Simple and Effective Baseline for Text-to-Image Synthesis (arXiv:2008.05865), narrow.

Different from the paper: each network trains an encoder of captions of its own; the paper takes a trained one and keeps it.
The generator does not end in tanh: on pictures with much white it saturates within twenty updates, and then learns nothing.
"""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from src.data.spec import Spec
from src.networks.sizes import sides
from src.networks.word_encoder import WordEncoder

SLOPE = 0.2  # of the leaky rectifiers


class DFGenerator(nn.Module):
    """Latents and captions to pictures, data in [-1, 1]: one stage of blocks that double the side.

    text: encoder of captions, called with `spec=` of the field `caption`.
    z_dim: size of the latent. width: channels of the largest maps; they double with each halving, up to `most`.
    """

    def __init__(self, spec: Spec, text: Callable[..., WordEncoder], z_dim: int = 64, width: int = 16, most: int = 128) -> None:
        super().__init__()
        self.text = text(spec=Spec({"x": spec.fields["caption"]}))
        self.z_dim, self.classes = z_dim, self.text.embedding.num_embeddings
        self.side, *larger = sides(spec)
        channels = [min(most, width * 2**level) for level in range(len(larger), -1, -1)]
        self.first = nn.Linear(z_dim, channels[0] * self.side**2)
        self.blocks = nn.ModuleList(UpBlock(a, b, z_dim + self.text.width) for a, b in pairwise(channels))
        self.last = nn.Conv2d(channels[-1], spec.shape[0], 3, padding=1)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        """z [B, z_dim] from N(0, I) and captions y [B, T] to [B, *shape]."""
        condition = torch.cat([z, self.text(y)], dim=1)  # [B, z_dim + P]
        h = self.first(z).unflatten(1, (-1, self.side, self.side))
        for block in self.blocks:
            h = block(h, condition)  # [B, C', 2 H, 2 W]
        return self.last(F.leaky_relu(h, SLOPE))


class UpBlock(nn.Module):
    """The side doubled, and two convolutions behind DFBlocks, residual (the paper's UPBlock, figure 2)."""

    def __init__(self, inputs: int, outputs: int, condition: int) -> None:
        super().__init__()
        self.fuse1, self.fuse2 = DFBlock(inputs, condition), DFBlock(outputs, condition)
        self.conv1, self.conv2 = nn.Conv2d(inputs, outputs, 3, padding=1), nn.Conv2d(outputs, outputs, 3, padding=1)
        self.shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """[B, inputs, H, W] and [B, K] to [B, outputs, 2 H, 2 W]."""
        shortcut, x = F.interpolate(self.shortcut(x), scale_factor=2.0), F.interpolate(x, scale_factor=2.0)
        return shortcut + self.conv2(self.fuse2(self.conv1(self.fuse1(x, condition)), condition))


class DFBlock(nn.Module):
    """Deep text-image fusion: twice scaled and shifted by the condition, each time rectified (section 3.4)."""

    def __init__(self, channels: int, condition: int) -> None:
        super().__init__()
        self.affines = nn.ModuleList(Affine(channels, condition) for _ in range(2))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """[B, C, H, W] and [B, K] to the same shape."""
        for affine in self.affines:
            x = F.leaky_relu(affine(x, condition), SLOPE)
        return x


class Affine(nn.Module):
    """gamma(condition) x + beta(condition) for each channel (eq. 1 and 2); the identity at first."""

    def __init__(self, channels: int, condition: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(condition, channels), nn.ReLU(), last := nn.Linear(channels, 2 * channels))
        nn.init.zeros_(last.weight), nn.init.zeros_(last.bias)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """[B, C, H, W] and [B, K] to the same shape."""
        gamma, beta = self.mlp(condition)[:, :, None, None].chunk(2, dim=1)  # [B, C, 1, 1] each
        return torch.addcmul(beta, x, 1 + gamma)


class DFDiscriminator(nn.Module):
    """One-way output: one logit for picture and caption together, from maps beside the sentence vector (section 3.3).

    text: encoder of captions, called with `spec=` of the field `caption`.
    width: channels of the largest maps; they double with each halving, up to `most`.
    """

    def __init__(self, spec: Spec, text: Callable[..., WordEncoder], width: int = 16, most: int = 128) -> None:
        super().__init__()
        self.text = text(spec=Spec({"x": spec.fields["caption"]}))
        side, *larger = sides(spec)
        channels = [min(most, width * 2**level) for level in range(len(larger) + 1)]
        self.first = nn.Conv2d(spec.shape[0], channels[0], 3, padding=1)
        self.blocks = nn.ModuleList(DownBlock(a, b) for a, b in pairwise(channels))
        self.joint = nn.Conv2d(channels[-1] + self.text.width, channels[0] * 2, 3, padding=1)
        self.logit = nn.Conv2d(channels[0] * 2, 1, side)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Pictures [B, *shape] in [-1, 1] and captions [B, T] to logits [B]."""
        return self.judge(x, self.sentence(y))

    def sentence(self, y: Tensor) -> Tensor:
        """Captions [B, T] to sentence vectors [B, P]."""
        return self.text(y)

    def judge(self, x: Tensor, s: Tensor) -> Tensor:
        """Pictures [B, *shape] and sentence vectors [B, P] to logits [B]."""
        h = self.first(x)
        for block in self.blocks:
            h = block(h)  # [B, C', H / 2, W / 2]
        s = s[:, :, None, None].expand(-1, -1, *h.shape[2:])
        h = F.leaky_relu(self.joint(torch.cat([h, s], dim=1)), SLOPE)
        return self.logit(h).flatten()


class DownBlock(nn.Module):
    """Two convolutions, the first of which halves the side, residual with a learned weight, 0 at first."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = (
            nn.Conv2d(inputs, outputs, 4, 2, 1, bias=False),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
        )
        self.shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        self.share = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] to [B, outputs, H / 2, W / 2]."""
        h = F.leaky_relu(self.conv2(F.leaky_relu(self.conv1(x), SLOPE)), SLOPE)
        return self.shortcut(F.avg_pool2d(x, 2)) + self.share * h
