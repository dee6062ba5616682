"""Encoder and decoder of a variational autoencoder for texts, both transformers over the same embeddings."""

import torch
from torch import Tensor, nn

from src.data.spec import Spec
from src.data.vocabulary import PAD, UNKNOWN
from src.networks.causal import Block, rotations
from src.networks.decoder import Decoder


class TextVAE(nn.Module):
    """The two networks of Bowman et al. 2016, with transformers in place of its LSTMs.

    z_dim: size of the latent. width, heads, dropout: of both networks, see Decoder. encoder_depth, depth: blocks of the encoder
    and of the decoder. conditional: the decoder gets the class; the encoder does not, the text tells enough.
    """

    def __init__(
        self,
        spec: Spec,
        z_dim: int = 32,
        width: int = 128,
        encoder_depth: int = 1,
        depth: int = 2,
        heads: int = 4,
        dropout: float = 0.0,
        conditional: bool = False,
    ) -> None:
        super().__init__()
        self.decoder = LatentDecoder(spec, width, depth, heads, conditional, dropout, z_dim)
        self.encoder = TextEncoder(spec, self.decoder.embedding, z_dim, width, encoder_depth, heads, dropout)  # type: ignore[arg-type]


class TextEncoder(nn.Module):
    """Texts to the mean and the log-variance of a Gaussian over latents. Every symbol attends to all symbols of the text.

    embedding: of symbols, the decoder's. Other arguments: see TextVAE.
    """

    def __init__(
        self, spec: Spec, embedding: nn.Embedding, z_dim: int, width: int, depth: int, heads: int, dropout: float
    ) -> None:
        super().__init__()
        self.embedding, self.channels, self.pad = embedding, width // heads, index(spec, PAD)
        self.blocks = nn.ModuleList(Block(width, heads, 2 * depth, dropout) for _ in range(depth))
        self.norm, self.out = nn.LayerNorm(width), nn.Linear(width, 2 * z_dim)

    def forward(self, x: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Texts [B, T], PAD after their ends, to mean and log-variance, each [B, z_dim]. y is ignored."""
        inside = x != self.pad  # [B, T]
        hidden = self.embedding(x)  # [B, T, width]
        rotation = rotations(torch.arange(x.shape[1], device=x.device), self.channels)
        for block in self.blocks:
            hidden = block(hidden, rotation, mask=inside[:, None, None])
        hidden = self.norm(hidden) * inside[..., None]
        pooled = hidden.sum(1) / inside.sum(1, keepdim=True)  # [B, width]
        mean, log_variance = self.out(pooled).to(self.out.weight.dtype).chunk(2, dim=1)
        return mean, log_variance


class LatentDecoder(Decoder):
    """A decoder that reads a latent at every position. Arguments: see Decoder; z_dim must be above 0."""

    def __init__(self, spec: Spec, width: int, depth: int, heads: int, conditional: bool, dropout: float, z_dim: int) -> None:
        super().__init__(spec, width, depth, heads, conditional, dropout, z_dim)
        self.z_dim = z_dim
        self.not_scored = [index(spec, PAD), index(spec, UNKNOWN)]

    def log_likelihood(self, x: Tensor, z: Tensor, y: Tensor | None = None, read: Tensor | None = None) -> Tensor:
        """log p(x | z, y) = sum_t log p(x_t | x_<t, z, y), [B] in nats, of texts [B, T] with PAD after their ends.

        Terms of PAD and of UNKNOWN are left out; training texts have no UNKNOWN. read: the symbols that the decoder reads in
        place of x, [B, T].
        """
        nats = self.nats(self(x if read is None else read, y, z=z), x)  # [B, T]
        return -torch.where(self.scored(x), nats, 0.0).sum(1)

    def scored(self, x: Tensor) -> Tensor:
        """Which symbols [B, T] have terms in `log_likelihood`."""
        pad, unknown = self.not_scored
        return (x != pad) & (x != unknown)


def index(spec: Spec, name: str) -> int:
    """The number of a symbol in the vocabulary; -1 if it is not there."""
    return spec.x.names.index(name) if name in spec.x.names else -1
