"""The causal transformer that decoders share: blocks, rotary positions, and a cache of keys and values.

After GPT-2 (Radford et al. 2019): normalisation before each layer and after the last, GELU, initial weights of residual
branches scaled down with the number of layers. Positions are rotary (Su et al. 2021, arXiv:2104.09864).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from src.networks.mlp import Dropout

BASE = 10_000.0  # base of the rotary wavelengths (Su et al. 2021, section 3.2.2)


@dataclass
class Cache:
    """Keys and values of the earlier positions of `CausalTransformer.step_on`.

    keys, values: [depth, B, heads, T, d] for up to T positions; keys are rotated. used: number of positions stored.
    visible: which positions are attended to, [B, 1, 1, T]; None for all. before: how many come before position 0.
    shift: what a latent adds to the input of every position, [B, 1, width]; None for no latent.
    """

    keys: Tensor
    values: Tensor
    used: int = 0
    visible: Tensor | None = None
    before: int = 0
    shift: Tensor | None = None


class CausalTransformer(nn.Module):
    """Maps inputs [B, T, width] to contexts of the same shape, where context t depends on the inputs up to t alone.

    embedding: makes the inputs, in a subclass. width: channels of a position. depth: blocks. heads: attention heads, each with
    d = width / heads channels. dropout: probability of dropping a number that a layer adds.
    """

    def __init__(self, embedding: nn.Embedding | nn.Linear, width: int, depth: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        if width % (2 * heads):
            raise ValueError(
                f"{width} channels give none of {heads} heads an even number: choose a width that is a multiple of {2 * heads}"
            )
        self.heads, self.channels = heads, width // heads
        self.embedding = embedding
        self.blocks = nn.ModuleList(Block(width, heads, 2 * depth, dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(width)

    def contexts(self, x: Tensor, rotation: Tensor, mask: Tensor | None = None) -> Tensor:
        """Inputs [B, T, width] to contexts [B, T, width]; rotation [T, d / 2, 2]. mask: see Block."""
        for block in self.blocks:
            x = block(x, rotation, mask=mask)
        return self.norm(x)

    def empty_cache(self, batch: int, length: int) -> Cache:
        """An empty cache for `length` positions."""
        shape = len(self.blocks), batch, self.heads, length, self.channels
        return Cache(self.embedding.weight.new_zeros(shape), self.embedding.weight.new_zeros(shape))

    def step_on(self, x: Tensor, rotation: Tensor, cache: Cache, mask: Tensor | None = None) -> Tensor:
        """Inputs [B, T, width] of the next T positions to the context [B, width] of the last; adds to the cache.

        rotation: [T, d / 2, 2]. mask: see Block; None for one position, which attends to all that the cache says are visible.
        """
        cache.used += x.shape[1]
        if mask is None and cache.visible is not None:
            mask = cache.visible[..., : cache.used]
        for block, keys, values in zip(self.blocks, cache.keys, cache.values, strict=True):
            x = block(x, rotation, (keys[:, :, : cache.used], values[:, :, : cache.used]), mask)
        return self.norm(x[:, -1])


class Block(nn.Module):
    """Causal self-attention with rotary positions and a two-layer perceptron, both residual with normalised input.

    layers: number of both kinds in the network; scales their initial output weights by layers^(-1/2).
    dropout: of what they add.
    """

    def __init__(self, width: int, heads: int, layers: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), last := nn.Linear(4 * width, width))
        self.dropout = Dropout(dropout) if dropout else nn.Identity()
        for layer in (self.out, last):
            nn.init.normal_(layer.weight, std=(layers * layer.in_features) ** -0.5)

    def forward(
        self, x: Tensor, rotation: Tensor, past: tuple[Tensor, Tensor] | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """Positions [B, T, width] to the same shape; rotation [T, d / 2, 2].

        past: keys and values [B, heads, S, d] to attend to, of which those of x become the last T. mask: where a position
        attends to another, bool [B, 1, T, S]; None for all earlier ones, with `past` for T = 1 only.
        """
        q, k, v = self.qkv(self.norm1(x)).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # [B, heads, T, d] each
        q, k = rotate(q, rotation), rotate(k, rotation)
        if past is None:
            attended = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None)
        else:
            keys, values = past
            keys[:, :, -x.shape[1] :], values[:, :, -x.shape[1] :] = k, v
            attended = F.scaled_dot_product_attention(q, keys, values, attn_mask=mask)
        x = x + self.dropout(self.out(attended.transpose(1, 2).flatten(2)))  # [B, T, width]
        return x + self.dropout(self.mlp(self.norm2(x)))


def rotations(positions: Tensor, channels: int) -> Tensor:
    """cos and sin of m theta_i for positions m [T], [T, d / 2, 2]; theta_i = BASE^(-2 i / d), i = 0 .. d / 2 - 1."""
    theta = BASE ** (-torch.arange(0, channels, 2, device=positions.device) / channels)  # [d / 2]
    angle = positions[:, None] * theta
    return torch.stack([angle.cos(), angle.sin()], dim=2)


def rotate(x: Tensor, rotation: Tensor) -> Tensor:
    """Rotate each pair of channels of x [B, heads, T, d] by the angle of its position (Su et al. 2021, eq. 34)."""
    a, b = x.unflatten(3, (-1, 2)).unbind(4)  # [B, heads, T, d / 2] each
    cos, sin = rotation.to(x.dtype).unbind(2)  # [T, d / 2] each
    return torch.stack([a * cos - b * sin, a * sin + b * cos], dim=4).flatten(3)  # [B, heads, T, d]
