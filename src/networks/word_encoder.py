"""A small transformer encoder of captions, after CLIP's (Radford et al. 2021, section 2.4); attention looks both ways."""

import torch
from torch import Tensor, nn

from src.data.spec import Spec
from src.data.vocabulary import PAD
from src.networks.causal import Block, rotations
from src.networks.mlp import Dropout


class WordEncoder(nn.Module):
    """Tokens to one vector: embeddings, blocks of attention with rotary positions, and the mean over all tokens but PAD.

    What stands after the end, PAD, changes nothing.

    width: channels of a token. depth: blocks. heads: attention heads. dropout: of what blocks add, and of the result.
    """

    def __init__(self, spec: Spec, width: int = 128, depth: int = 2, heads: int = 4, dropout: float = 0.0) -> None:
        super().__init__()
        if (spec.kind, len(spec.shape)) != ("tokens", 1) or PAD not in spec.x.names:
            raise ValueError(f"this encoder is for texts and the data are {spec.kind}: take texts (data=emoji_captions)")
        if width % (2 * heads):
            raise ValueError(f"{width} channels give none of {heads} heads an even number: take a multiple of {2 * heads}")
        self.width, self.pad, self.channels = width, spec.x.names.index(PAD), width // heads
        self.embedding = nn.Embedding(len(spec.x.names), width)
        self.blocks = nn.ModuleList(Block(width, heads, 2 * depth, dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.dropout = Dropout(dropout) if dropout else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Tokens [B, T] to vectors [B, width]; of an empty caption, the vector of one PAD."""
        h, inside = self.words(x)
        return self.dropout(mean_of(h, inside))

    def words(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens [B, T] to a vector of each word [B, T, width], and bool [B, T]: which count. An empty caption has one PAD."""
        inside = x != self.pad  # [B, T]
        inside = inside | (torch.arange(x.shape[1], device=x.device) == 0)  # attention needs something to look at
        h = self.embedding(x)  # [B, T, width]
        rotation, mask = rotations(torch.arange(x.shape[1], device=x.device), self.channels), inside[:, None, None]
        for block in self.blocks:
            h = block(h, rotation, mask=mask)
        return self.norm(h), inside


def mean_of(h: Tensor, inside: Tensor) -> Tensor:
    """The mean [B, width] of the vectors h [B, T, width] that count, `inside` [B, T]."""
    return (h * inside[:, :, None]).sum(1) / inside.sum(1, keepdim=True)
