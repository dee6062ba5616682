"""Encoder and hierarchical decoder of MusicVAE: Roberts et al. 2018, A Hierarchical Latent Vector Model (arXiv:1803.05428)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from src.data.music.notes import bar_steps
from src.data.spec import Spec
from src.networks.mlp import Dropout
from src.networks.symbols import SymbolNetwork, check_symbols, start_classes

LOG_VARIANCE = -4.0  # of q(z | x) at first
State = tuple[Tensor, Tensor]  # h and c of an LSTM of one layer, both [1, B, width]


class MusicVAE(nn.Module):
    """The two networks of section 3, small: LSTMs over the parts of a piece, and within a part.

    z_dim: size of the latent. width: of embeddings, of the decoder's states and of each direction of the encoder.
    metre: of the data, such as "4/4"; samples are whole bars. bars: of a part. 1 is the paper's hierarchy; as many as the
    samples have make the flat decoder that it takes for 2 bars.
    dropout: of what the decoder reads. conditional: the decoder gets the class; the encoder does not, the music tells enough.
    """

    def __init__(
        self,
        spec: Spec,
        z_dim: int = 64,
        width: int = 128,
        metre: str = "4/4",
        bars: int = 1,
        dropout: float = 0.0,
        conditional: bool = False,
    ) -> None:
        super().__init__()
        part = bars * bar_steps(metre)
        self.decoder = HierarchicalDecoder(spec, z_dim, width, part, dropout, conditional)
        self.encoder = MusicEncoder(self.decoder.embedding, spec.shape[1], part, z_dim, width)
        for lstm in (module for module in self.modules() if isinstance(module, nn.LSTM)):
            remember(lstm)


class MusicEncoder(nn.Module):
    """Music to the mean and the log-variance of a Gaussian over latents: bidirectional LSTMs within parts and over them.

    The paper has one over all steps. The gradients of 256 steps vanish, and as denormal numbers they also take long.

    embedding: of symbols, the decoder's. voices: of a step. part: its steps. Other arguments: see MusicVAE.
    """

    def __init__(self, embedding: nn.Embedding, voices: int, part: int, z_dim: int, width: int) -> None:
        super().__init__()
        self.embedding, self.part = embedding, part
        self.within = nn.LSTM(voices * width, width, batch_first=True, bidirectional=True)
        self.over = nn.LSTM(2 * width, width, batch_first=True, bidirectional=True)
        self.norm, self.out = nn.LayerNorm(2 * width), nn.Linear(2 * width, 2 * z_dim)
        # With the prior's variance, noise hides what an untrained encoder says, and the decoder learns to do without it.
        nn.init.constant_(self.out.bias[z_dim:], LOG_VARIANCE)

    def forward(self, x: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Symbols [B, T, V] to mean and log-variance, each [B, z_dim]. y is ignored."""
        steps = self.embedding(x).flatten(2)  # [B, T, V * width]
        parts = last_states(self.within, steps.unflatten(1, (-1, self.part)).flatten(0, 1))  # [B * parts, 2 width]
        whole = self.norm(last_states(self.over, parts.unflatten(0, (len(x), -1))))  # [B, 2 width]
        mean, log_variance = self.out(whole).to(self.out.weight.dtype).chunk(2, dim=1)
        return mean, log_variance


def remember(lstm: nn.LSTM) -> None:
    """Add 1 to the biases of the forget gates (Jozefowicz et al. 2015, section 2.2): at 0 a state halves with each step."""
    for name, bias in lstm.named_parameters():
        if name.startswith("bias_hh"):
            bias.data.chunk(4)[1].add_(1.0)  # the gates: input, forget, cell, output


def last_states(lstm: nn.LSTM, x: Tensor) -> Tensor:
    """The last hidden states of both directions over [B, T, C], [B, 2 width]."""
    return torch.cat(lstm(x)[1][0].unbind(0), dim=1)


@dataclass
class Cache:
    """contexts: of the parts, [B, parts, width]. state: after the symbols so far. used: their number."""

    contexts: Tensor
    state: State | None = None
    used: int = 0


class HierarchicalDecoder(SymbolNetwork):
    """p(x | z): an LSTM, the conductor, makes a context of each part of the latent; another LSTM draws the part's symbols.

    Symbols of V voices are interleaved, index t * V + v. The lower LSTM begins each part with a state from its context, and
    reads the symbol before, its place and the context: of the parts before it knows what the latent says, and one symbol.

    part: steps of a part. Other arguments: see MusicVAE.
    """

    embedding: nn.Embedding

    def __init__(self, spec: Spec, z_dim: int, width: int, part: int, dropout: float, conditional: bool) -> None:
        super().__init__()
        check_symbols(spec, "a hierarchical decoder")
        steps, voices = spec.shape
        if steps % part:
            raise ValueError(
                f"samples of {steps} steps have no whole number of parts of {part}: change model.network.bars, or the data"
            )
        self.z_dim, self.parts, self.size = z_dim, steps // part, part * voices
        self.classes, self.vocabulary = start_classes(spec, conditional), len(spec.x.names)
        self.conditions = (("y",) if self.classes else ()) + ("z",)
        # From N(0, 1), not as for transformers: LSTMs do not normalise what they read, and take long to grow small numbers.
        self.embedding = nn.Embedding(self.vocabulary + max(self.classes, 1), width)
        self.place = nn.Parameter(torch.randn(self.size, width))
        self.latent = nn.Linear(z_dim, 2 * width)  # the conductor's first state
        self.conductor, self.norm = nn.LSTM(z_dim, width, batch_first=True), nn.LayerNorm(width)
        self.first = nn.Linear(width, 2 * width)  # the first state of a part
        self.lstm = nn.LSTM(2 * width, width, batch_first=True)
        self.dropout = Dropout(dropout) if dropout else nn.Identity()

    def forward(self, tokens: Tensor, y: Tensor | None = None, *, z: Tensor) -> Tensor:
        """Symbols [B, T * V] to logits [B, T * V, names]. y [B] if conditional; latents z [B, z_dim]."""
        read = torch.cat([self.start(len(tokens), y), tokens[:, :-1]], dim=1)  # [B, T * V]
        contexts = self.contexts(z).flatten(0, 1)  # [B * parts, width]
        inputs = self.inputs(read.unflatten(1, (self.parts, -1)).flatten(0, 1), self.place, contexts)
        outputs, _ = self.lstm(inputs, self.state(contexts))  # all parts at once: each has a state of its own
        return self.logits(outputs.unflatten(0, (-1, self.parts)).flatten(1, 2))

    def contexts(self, z: Tensor) -> Tensor:
        """Latents [B, z_dim] to the contexts of the parts, [B, parts, width]: the conductor, equation 6."""
        z = z.to(self.latent.weight.dtype)
        h, c = torch.tanh(self.latent(z)).chunk(2, dim=1)  # [B, width] each
        first = h[None].contiguous(), c[None].contiguous()
        return self.norm(self.conductor(z[:, None].expand(-1, self.parts, -1).contiguous(), first)[0])

    def state(self, contexts: Tensor) -> State:
        """Contexts [B, width] to the state in which a part begins."""
        h, c = torch.tanh(self.first(contexts)).chunk(2, dim=1)
        return h[None].contiguous(), c[None].contiguous()

    def inputs(self, read: Tensor, place: Tensor, contexts: Tensor) -> Tensor:
        """Inputs of the lower LSTM, [B, T, 2 width]: symbols [B, T] at places of a part [T, width], and contexts [B, width]."""
        symbols = self.dropout(self.embedding(read)) + place
        return torch.cat([symbols, contexts[:, None].expand_as(symbols)], dim=2)

    @torch.no_grad()
    def cache(self, batch: int, length: int, *, z: Tensor) -> Cache:
        """The cache before the start symbol, for latents [B, z_dim]. length: of the data."""
        assert length == self.parts * self.size
        return Cache(self.contexts(z))

    @torch.no_grad()
    def step(self, token: Tensor, cache: Cache) -> Tensor:
        """The last symbol so far [B, 1], at first `start`, to the logits [B, names] of the next one; changes the cache."""
        part, place = divmod(cache.used, self.size)
        context = cache.contexts[:, part]
        state = self.state(context) if place == 0 else cache.state
        outputs, cache.state = self.lstm(self.inputs(token, self.place[place : place + 1], context), state)
        cache.used += 1
        return self.logits(outputs[:, 0])

    def log_likelihood(self, x: Tensor, z: Tensor, y: Tensor | None = None, read: Tensor | None = None) -> Tensor:
        """log p(x | z, y) [B] in nats of music [B, T, V]. read: the symbols that the decoder reads in place of x."""
        symbols = x.flatten(1)
        return -self.nats(self(symbols if read is None else read.flatten(1), y, z=z), symbols).sum(1)

    def scored(self, x: Tensor) -> Tensor:
        """Which symbols [B, T, V] have terms in `log_likelihood`: all."""
        return torch.ones_like(x, dtype=torch.bool)
