"""A recurrent network with the interface of Decoder: p(x_t | x_<t) by an LSTM (Hochreiter and Schmidhuber 1997).

The baseline of language models before transformers; layers and dropout after Zaremba et al. 2014 (arXiv:1409.2329).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from src.data.spec import Spec
from src.networks.mlp import Dropout
from src.networks.symbols import SymbolNetwork, check_symbols, embeddings, start_classes

State = tuple[Tensor, Tensor]  # h and c of each layer, both [depth, B, width]


@dataclass
class Cache:
    """The state after the symbols so far: all that `LSTM.step` needs of them."""

    state: State


class LSTM(SymbolNetwork):
    """Symbols to the logits of each symbol, given the symbols before it. The vocabulary is that of the data's field "x".

    Data with a field "source": the LSTM reads the source first, and its last state is the one before the start symbol.

    width: size of embeddings and of each layer's state. depth: layers. conditional: every class has a start symbol of its own.
    Data with a source and without classes need none. dropout: of the inputs of each layer and of the output.
    """

    embedding: nn.Embedding

    def __init__(self, spec: Spec, width: int = 192, depth: int = 2, conditional: bool = False, dropout: float = 0.0) -> None:
        super().__init__()
        check_symbols(spec, "an LSTM")
        self.classes, self.vocabulary = start_classes(spec, conditional), len(spec.x.names)
        source = ("source", "source_length") if "source" in spec.fields else ()
        self.conditions = (("y",) if self.classes else ()) + source
        self.embedding = embeddings(spec, self.classes, width)
        self.layers = nn.ModuleList(nn.LSTM(width, width, batch_first=True) for _ in range(depth))
        self.dropout = Dropout(dropout) if dropout else nn.Identity()

    def forward(
        self,
        tokens: Tensor,
        y: Tensor | None = None,
        source: Tensor | None = None,
        source_length: Tensor | None = None,
    ) -> Tensor:
        """Symbols [B, T] to logits [B, T, V]; logits at t depend only on the conditions and the symbols before t.

        y [B] if conditional; source [B, S] and source_length [B] if the data have them.
        """
        read = torch.cat([self.start(len(tokens), y), tokens[:, :-1]], dim=1)  # [B, T]
        outputs, _ = self.run(read, self.state_after(len(tokens), source, source_length))
        return self.logits(outputs)

    def nats(self, logits: Tensor, tokens: Tensor) -> Tensor:
        """See SymbolNetwork."""
        # Not its kernel, which rounds otherwise: published runs stay bitwise as they are.
        return F.cross_entropy(logits.mT, tokens, reduction="none")

    @torch.no_grad()
    def cache(self, batch: int, length: int, source: Tensor | None = None, source_length: Tensor | None = None) -> Cache:
        """The cache before the start symbol, after the sources [B, S] if the data have them. length: unused, of any size."""
        return Cache(self.state_after(batch, source, source_length))

    @torch.no_grad()
    def step(self, token: Tensor, cache: Cache) -> Tensor:
        """The last symbol so far [B, 1], at first `start`, to the logits [B, V] of the next one; changes the cache."""
        outputs, cache.state = self.run(token, cache.state)
        return self.logits(outputs[:, 0])

    def run(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Symbols [B, T], read from a state on, to outputs [B, T, width] and the state after the last."""
        x, ends = self.dropout(self.embedding(tokens)), []
        for layer, h, c in zip(self.layers, *state, strict=True):
            x, end = layer(x, (h[None], c[None]))
            x = self.dropout(x)
            ends.append(end)
        h, c = (torch.cat(parts) for parts in zip(*ends, strict=True))
        return x, (h, c)

    def state_after(self, batch: int, source: Tensor | None, source_length: Tensor | None) -> State:
        """The state after reading sources [B, S] of `source_length` [B] symbols: zeros for sources of none, or without any."""
        state = self.embedding.weight.new_zeros(2, len(self.layers), batch, self.embedding.embedding_dim)
        if source is None:
            return state[0], state[1]
        assert source_length is not None
        x, h, c = self.dropout(self.embedding(source)), [], []
        there = (source_length > 0)[:, None]
        for layer in self.layers:
            # Packing gives the state after each source's own last symbol; an LSTM reads at least one.
            packed = nn.utils.rnn.pack_padded_sequence(
                x, source_length.clamp(min=1).cpu(), batch_first=True, enforce_sorted=False
            )
            packed, (end_h, end_c) = layer(packed)
            x = self.dropout(nn.utils.rnn.pad_packed_sequence(packed, batch_first=True, total_length=source.shape[1])[0])
            h.append(end_h[0] * there)
            c.append(end_c[0] * there)
        return torch.stack(h), torch.stack(c)
