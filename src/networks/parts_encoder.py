"""A small convolutional encoder of verse or tunes, which tells how well each line follows the lines before it.

A line is a line of verse, or half a bar of music.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

PADDING, UNKNOWN = 0, 1  # tokens; symbols have the numbers from FIRST on
FIRST = 2


class PartsEncoder(nn.Module):
    """Lines to u, which expects a line from the two before it, and v, which describes the line; u v is high where it fits.

    It is trained by contrast (van den Oord et al. 2018, arXiv:1807.03748, eq. 4): src/tools/encoder_training.py.

    symbols: size of the vocabulary. width: of embeddings and lines. channels: of the convolution. features: D, of u and v.
    """

    def __init__(self, symbols: int, width: int = 64, channels: int = 96, features: int = 16) -> None:
        super().__init__()
        self.feature_size = features
        self.embedding = nn.Embedding(symbols + FIRST, width, padding_idx=PADDING)
        self.convolution = nn.Conv1d(width, channels, 3, padding=1)
        self.line = nn.Linear(3 * channels, width)
        self.expected, self.found = nn.Linear(2 * width, features), nn.Linear(width, features)

    def lines(self, tokens: Tensor, length: Tensor) -> Tensor:
        """Tokens [M, C] of lines, of which `length` [M] count, to vectors [M, width]; 0 for lines without any."""
        x = F.relu(self.convolution(self.embedding(tokens).mT))  # [M, channels, C]
        counted = torch.arange(tokens.shape[1], device=tokens.device) < length[:, None]  # [M, C]
        x = x * counted[:, None]
        last = x.gather(2, (length - 1).clamp(min=0)[:, None, None].expand(-1, x.shape[1], 1)).squeeze(2)  # it may rhyme
        pooled = torch.cat([x.sum(2) / length.clamp(min=1)[:, None], x.amax(2), last], dim=1)  # [M, 3 channels]
        return F.relu(self.line(pooled)) * (length > 0)[:, None]

    def expectations(self, lines: Tensor, place: Tensor) -> Tensor:
        """u [M, D] of each line from the vectors [M, width] of the two before it. place: number of a line in its text, [M]."""
        before = [F.pad(lines, (0, 0, n, 0))[: len(lines)] * (place >= n)[:, None] for n in (1, 2)]
        return self.expected(torch.cat(before, dim=1))

    def forward(self, tokens: Tensor, length: Tensor, place: Tensor) -> Tensor:
        """The products u_i v_i of each line, [M, D]: their sum is the score of a line after those before it."""
        lines = self.lines(tokens, length)
        return self.expectations(lines, place) * self.found(lines)
