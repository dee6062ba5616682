"""A U-Net for vector fields and denoisers (Ronneberger et al. 2015), with time as in Dhariwal and Nichol 2021.

Attention to captions is that of Rombach et al. 2022 (arXiv:2112.10752, section 3.3).
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from src.data.spec import Spec
from src.networks.layout_map import LayoutMap
from src.networks.mlp import Dropout
from src.networks.sizes import count_classes
from src.networks.word_encoder import WordEncoder, mean_of

FREQUENCIES = 16  # of the time embedding
FASTEST = 256.0  # its highest frequency, in radians per unit of time


class Text(NamedTuple):
    """Captions: vectors of their words [B, T, W], and bool [B, T], which of them count."""

    words: Tensor
    inside: Tensor


class UNet(nn.Module):
    """Images, times and classes to images of the same shape.

    Maps of `width * multipliers[l]` channels have the side of the patches divided by 2^l; each level has `blocks` residual
    blocks on the way down and, but for the last level, as many on the way up. Sides that do not fit are padded with zeros.

    conditional: it takes a class; class number `classes`, one more than the data's last, is the learned null: no class.
    patch: side of the pixel blocks that become channels at the input and pixels again at the output.
    attention: levels at which self-attention follows each block, and then attention to the caption, if it takes one.
    dropout: probability of dropping a number inside a residual block.
    text: encoder of captions, called with `spec=` of the field `caption`: y are then captions, tokens [B, T], and the empty one
        is the learned null. The mean of a caption's words is added to the embedding of the time. See WordEncoder.
    layout: maps of layouts, called with `spec=`: y are then layouts [B, M, 5], and the empty one is the learned null. The map
        joins the input as further channels. See LayoutMap.
    """

    frequencies: Tensor

    def __init__(
        self,
        spec: Spec,
        conditional: bool = False,
        width: int = 32,
        multipliers: Sequence[int] = (1, 2),
        blocks: int = 2,
        patch: int = 2,
        attention: Sequence[int] = (),
        dropout: float = 0.0,
        text: Callable[..., WordEncoder] | None = None,
        layout: Callable[..., LayoutMap] | None = None,
    ) -> None:
        super().__init__()
        if spec.kind != "image":
            raise ValueError(f"this network is for images and the data are {spec.kind}: take image data")
        if width % 8:
            raise ValueError(f"width={width}: must be a multiple of 8, the number of groups of its norms")
        self.text = text(spec=Spec({"x": spec.fields["caption"]})) if text and conditional else None
        self.layout = layout(spec=spec) if layout and conditional else None
        if self.layout is not None:
            self.classes: int = self.layout.classes
        else:
            self.classes = self.text.embedding.num_embeddings if self.text else count_classes(spec, conditional)
        text_width: int = self.text.width if self.text else 0
        self.patch, self.multiple = patch, patch * 2 ** (len(multipliers) - 1)
        channels = [width * multiplier for multiplier in multipliers]
        last, embedding, pixels = len(channels) - 1, 4 * width, spec.shape[0] * patch**2
        given = pixels + (self.layout.width * patch**2 if self.layout else 0)

        def level(inputs: int, index: int) -> Blocks:
            sizes = [inputs, *[channels[index]] * blocks]
            return Blocks(ResidualBlock(a, b, embedding, dropout, index in attention, text_width) for a, b in pairwise(sizes))

        self.time = nn.Sequential(nn.Linear(2 * FREQUENCIES, embedding), nn.SiLU(), nn.Linear(embedding, embedding))
        self.label: nn.Module | None = None
        if self.classes and not self.layout:
            self.label = nn.Linear(text_width, embedding) if self.text else nn.Embedding(self.classes + 1, embedding)
        self.register_buffer("frequencies", torch.logspace(0, math.log10(FASTEST), FREQUENCIES), persistent=False)
        self.first = nn.Conv2d(given, width, 3, padding=1)
        self.down = nn.ModuleList(level([width, *channels][index], index) for index in range(last + 1))
        self.shrink = nn.ModuleList(nn.Conv2d(c, c, 3, stride=2, padding=1) for c in channels[:-1])
        self.grow = nn.ModuleList(nn.Conv2d(a, b, 1) for b, a in pairwise(channels))
        self.up = nn.ModuleList(level(2 * channels[index], index) for index in range(last))
        self.norm, self.last = nn.GroupNorm(8, width * multipliers[0]), nn.Conv2d(width * multipliers[0], pixels, 3, padding=1)
        zero(self.last)

    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        """x [B, C, H, W], t [B] of order 1, y [B], [B, T] or [B, M, 5] if conditional, to [B, C, H, W].

        y None: the null for all.
        """
        side = x.shape[2:]
        if self.layout is not None:
            y = x.new_zeros(len(x), 1, 5) if y is None else y
            x = torch.cat([x, self.layout(y, *side)], dim=1)  # [B, C + W, H, W]
            y = None
        below, right = (-size % self.multiple for size in side)
        h = F.pixel_unshuffle(F.pad(x, (0, right, 0, below)), self.patch)  # [B, C patch^2, H', W']
        h = self.first(h.contiguous(memory_format=torch.channels_last))  # convolutions of a CPU are a third faster in it
        embedding, text = self.embed(t, y)  # [B, E]
        kept = []
        for index, blocks in enumerate(self.down):
            h = blocks(h, embedding, text)
            if index < len(self.shrink):
                kept.append(h)
                h = self.shrink[index](h)  # [B, C', H' / 2, W' / 2]
        for index in reversed(range(len(self.up))):
            h = F.interpolate(self.grow[index](h), scale_factor=2.0)
            h = torch.cat([h, kept[index]], dim=1)  # [B, 2 C', H', W']
            h = self.up[index](h, embedding, text)
        h = F.pixel_shuffle(self.last(F.silu(self.norm(h))), self.patch)
        return h[:, :, : side[0], : side[1]].contiguous()

    def embed(self, t: Tensor, y: Tensor | None) -> tuple[Tensor, Text | None]:
        """Times [B] and classes [B] or captions [B, T] to [B, E], rectified, and to the words of the captions."""
        angle = t[:, None] * self.frequencies  # [B, FREQUENCIES]
        embedding = self.time(torch.cat([angle.sin(), angle.cos()], dim=1))
        if self.text is not None:
            y = torch.full((len(t), 1), self.text.pad, device=t.device) if y is None else y
            text = Text(*self.text.words(y))
            assert self.label is not None
            return F.silu(embedding + self.label(mean_of(*text))), text
        if self.label is not None:
            embedding = embedding + self.label(torch.full_like(t, self.classes, dtype=torch.int64) if y is None else y)
        return F.silu(embedding), None


class Blocks(nn.ModuleList):
    """Residual blocks, one after the other."""

    def forward(self, x: Tensor, embedding: Tensor, text: Text | None = None) -> Tensor:
        """[B, inputs, H, W] and [B, E] to [B, outputs, H, W]."""
        for block in self:
            x = block(x, embedding, text)
        return x


class ResidualBlock(nn.Module):
    """x + f(x, embedding), where f is zero at first; the embedding scales and shifts the features inside.

    attention: self-attention follows, and attention to words of `text_width` channels if that is not 0.
    """

    def __init__(self, inputs: int, outputs: int, embedding: int, dropout: float, attention: bool, text_width: int = 0) -> None:
        super().__init__()
        self.norm1, self.conv1 = nn.GroupNorm(8, inputs), nn.Conv2d(inputs, outputs, 3, padding=1)
        self.modulation = nn.Linear(embedding, 2 * outputs)
        self.norm2, self.conv2 = nn.GroupNorm(8, outputs), nn.Conv2d(outputs, outputs, 3, padding=1)
        self.dropout = Dropout(dropout) if dropout else nn.Identity()
        self.shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        self.attention = Attention(outputs) if attention else nn.Identity()
        self.reading = CrossAttention(outputs, text_width) if attention and text_width else None
        zero(self.conv2)

    def forward(self, x: Tensor, embedding: Tensor, text: Text | None = None) -> Tensor:
        """[B, inputs, H, W] and [B, E] to [B, outputs, H, W]."""
        scale, shift = self.modulation(embedding)[:, :, None, None].chunk(2, dim=1)  # [B, outputs, 1, 1] each
        h = self.conv1(F.silu(self.norm1(x)))
        h = torch.addcmul(shift, self.norm2(h), 1 + scale)
        h = self.conv2(self.dropout(F.silu(h)))
        h = self.attention(self.shortcut(x) + h)
        return h if self.reading is None or text is None else self.reading(h, text)


class Attention(nn.Module):
    """x + self-attention of its positions (Vaswani et al. 2017), zero at first; heads of 64 channels, or one of fewer."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.heads = max(channels // 64, 1)
        self.norm, self.qkv, self.output = (
            nn.GroupNorm(8, channels),
            nn.Linear(channels, 3 * channels),
            nn.Linear(channels, channels),
        )
        zero(self.output)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] to the same shape."""
        tokens = self.norm(x).flatten(2).mT  # [B, H W, C]
        q, k, v = self.qkv(tokens).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # [B, heads, H W, C / heads] each
        found = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)  # [B, H W, C]
        return x + self.output(found).mT.unflatten(2, x.shape[2:])


class CrossAttention(nn.Module):
    """x + attention of its positions to the words of a caption, zero at first; heads as of Attention."""

    def __init__(self, channels: int, text_width: int) -> None:
        super().__init__()
        self.heads = max(channels // 64, 1)
        self.norm, self.query = nn.GroupNorm(8, channels), nn.Linear(channels, channels)
        self.kv, self.output = nn.Linear(text_width, 2 * channels), nn.Linear(channels, channels)
        zero(self.output)

    def forward(self, x: Tensor, text: Text) -> Tensor:
        """[B, C, H, W] to the same shape."""
        q = self.query(self.norm(x).flatten(2).mT).unflatten(2, (self.heads, -1)).transpose(1, 2)  # [B, heads, H W, d]
        k, v = self.kv(text.words).unflatten(2, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)  # [B, heads, T, d] each
        found = F.scaled_dot_product_attention(q, k, v, attn_mask=text.inside[:, None, None])  # [B, heads, H W, d]
        return x + self.output(found.transpose(1, 2).flatten(2)).mT.unflatten(2, x.shape[2:])


def zero(layer: nn.Conv2d | nn.Linear) -> None:
    """Set weights and bias to zero."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
