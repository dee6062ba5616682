"""A small transformer encoder of captions, after CLIP's (Radford et al. 2021, section 2.4); attention looks both ways."""

import torch
from torch import Tensor, nn

from src.data.spec import Spec
from src.data.vocabulary import PAD, UNKNOWN
from src.networks.causal import Block, rotations
from src.networks.mlp import Dropout
from src.parallel.collectives import draw_rows


class WordEncoder(nn.Module):
    """Tokens to one vector: embeddings, blocks of attention with rotary positions, and the mean over all tokens but PAD.

    What stands after the end, PAD, changes nothing.

    width: channels of a token. depth: blocks. heads: attention heads. dropout: of what blocks add, and of the result.
    word_dropout: probability of reading a word as UNKNOWN in training: an unknown word is then nothing new.
    """

    def __init__(
        self, spec: Spec, width: int = 128, depth: int = 2, heads: int = 4, dropout: float = 0.1, word_dropout: float = 0.1
    ) -> None:
        super().__init__()
        if (spec.kind, len(spec.shape)) != ("tokens", 1) or PAD not in spec.x.names:
            raise ValueError(f"this encoder is for texts and the data are {spec.kind}: take texts (data=emoji_captions)")
        if width % (2 * heads):
            raise ValueError(f"{width} channels give none of {heads} heads an even number: take a multiple of {2 * heads}")
        names = spec.x.names
        self.pad, self.unknown = names.index(PAD), names.index(UNKNOWN) if UNKNOWN in names else None
        self.word_dropout, self.channels = word_dropout, width // heads
        self.embedding = nn.Embedding(len(names), width)
        self.blocks = nn.ModuleList(Block(width, heads, 2 * depth, dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.dropout = Dropout(dropout) if dropout else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Tokens [B, T] to vectors [B, width]; of an empty caption, the vector of one PAD."""
        inside = x != self.pad  # [B, T]
        inside = inside | (torch.arange(x.shape[1], device=x.device) == 0)  # attention needs something to look at
        if self.training and self.word_dropout and self.unknown is not None:
            dropped = draw_rows(torch.rand, x.shape, device=x.device) < self.word_dropout
            x = torch.where(dropped & (x != self.pad), self.unknown, x)
        h = self.embedding(x)  # [B, T, width]
        rotation, mask = rotations(torch.arange(x.shape[1], device=x.device), self.channels), inside[:, None, None]
        for block in self.blocks:
            h = block(h, rotation, mask=mask)
        h = self.norm(h) * inside[:, :, None]
        return self.dropout(h.sum(1) / inside.sum(1, keepdim=True))
