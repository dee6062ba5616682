"""A decoder-only transformer: p(x_t | x_<t) for every position of a sequence of symbols, on src/networks/causal.py.

No weight depends on the length.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from src.data.spec import Spec
from src.networks.causal import Cache, CausalTransformer, rotations
from src.networks.patch_decoder import PatchDecoder
from src.networks.symbols import SymbolNetwork, check_symbols, embeddings, start_classes


class Decoder(CausalTransformer, SymbolNetwork):
    """Symbols to the logits of each symbol, given the symbols before it. The vocabulary is that of the data's field "x".

    Data with a field "source" are read as one sequence: the source, the start symbol, then x. A source that is shorter than
    others is shifted to the right, next to the start symbol, and nothing attends to what lies before it. Positions are counted
    from the start symbol, so that the width of the source's tensor changes nothing.

    width: channels of a position. depth: blocks. heads: attention heads, each with d = width / heads channels.
    conditional: every class has a start symbol of its own. Data with a source and without classes need none. dropout: see
    CausalTransformer. z_dim: size of a latent that is added, after a linear layer, to the input of every position; 0 for none.
    """

    def __init__(
        self,
        spec: Spec,
        width: int = 128,
        depth: int = 4,
        heads: int = 4,
        conditional: bool = False,
        dropout: float = 0.0,
        z_dim: int = 0,
    ) -> None:
        check_symbols(spec, "a decoder")
        classes = start_classes(spec, conditional)
        super().__init__(embeddings(spec, classes, width), width, depth, heads, dropout)
        self.classes, self.vocabulary = classes, len(spec.x.names)
        source = ("source", "source_length") if "source" in spec.fields else ()
        self.conditions = (("y",) if classes else ()) + source
        self.latent = nn.Linear(z_dim, width, bias=False) if z_dim else None
        if z_dim:
            self.conditions = (*self.conditions, "z")

    def forward(
        self,
        tokens: Tensor,
        y: Tensor | None = None,
        source: Tensor | None = None,
        source_length: Tensor | None = None,
        z: Tensor | None = None,
    ) -> Tensor:
        """Symbols [B, T] to logits [B, T, V]; logits at t depend only on the conditions and the symbols before t.

        y [B] if conditional; source [B, S] and source_length [B] if the data have them; latents z [B, z_dim] if there are any.
        """
        read = torch.cat([self.start(len(tokens), y), tokens[:, :-1]], dim=1)  # [B, T]
        before, mask = 0, None
        if source is not None:
            assert source_length is not None
            before = source.shape[1]
            source, visible = shifted_right(source, source_length)
            read = torch.cat([source, read], dim=1)  # [B, S + T]
            mask = causal_mask(F.pad(visible, (0, tokens.shape[1]), value=True))
        rotation = rotations(torch.arange(-before, tokens.shape[1], device=tokens.device), self.channels)
        return self.logits(self.contexts(self.inputs(read, self.shift(z)), rotation, mask)[:, before:])

    def inputs(self, symbols: Tensor, shift: Tensor | None) -> Tensor:
        """Symbols [B, T] to the transformer's inputs [B, T, width]."""
        x = self.embedding(symbols)
        return x if shift is None else x + shift

    def shift(self, z: Tensor | None) -> Tensor | None:
        """What latents [B, z_dim] add to the input of every position, [B, 1, width]; None for a decoder without a latent."""
        if self.latent is None:
            return None
        assert z is not None, "a decoder with a latent needs one"
        return self.latent(z.to(self.latent.weight.dtype))[:, None]

    @torch.no_grad()
    def cache(
        self,
        batch: int,
        length: int,
        source: Tensor | None = None,
        source_length: Tensor | None = None,
        z: Tensor | None = None,
    ) -> Cache:
        """A cache for `length` steps, which holds the sources [B, S] and the latents [B, z_dim], if there are any."""
        if source is None:
            cache = self.empty_cache(batch, length)
            cache.shift = self.shift(z)
            return cache
        assert source_length is not None
        before = source.shape[1]
        source, visible = shifted_right(source, source_length)
        cache = self.empty_cache(batch, before + length)
        cache.before, cache.visible = before, F.pad(visible, (0, length), value=True)[:, None, None]
        cache.shift = self.shift(z)
        rotation = rotations(torch.arange(-before, 0, device=source.device), self.channels)
        self.step_on(self.inputs(source, cache.shift), rotation, cache, causal_mask(visible))
        return cache

    @torch.no_grad()
    def step(self, token: Tensor, cache: Cache) -> Tensor:
        """The last symbol so far [B, 1], at first `start`, to the logits [B, V] of the next one; adds to the cache."""
        rotation = rotations(torch.tensor([cache.used - cache.before], device=token.device), self.channels)
        return self.logits(self.step_on(self.inputs(token, cache.shift), rotation, cache))


def shifted_right(x: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
    """Sequences [B, S] of `length` [B] symbols, moved to the end of their rows; and where they are, bool [B, S]."""
    place = torch.arange(x.shape[1], device=x.device) - (x.shape[1] - length[:, None])  # [B, S], below 0 before the sequence
    return x.gather(1, place.clamp(min=0)), place >= 0


def causal_mask(visible: Tensor) -> Tensor:
    """Where a position attends to another, bool [B, 1, T, T]: to itself, and to earlier ones that are visible [B, T]."""
    ones = torch.ones(visible.shape[1], visible.shape[1], dtype=torch.bool, device=visible.device)
    # Positions that are not visible attend to themselves: a softmax over nothing would be NaN.
    return ((ones.tril() & visible[:, None]) | torch.eye(len(ones), dtype=torch.bool, device=visible.device))[:, None]


def decoder(
    spec: Spec,
    width: int = 128,
    depth: int = 4,
    heads: int = 4,
    patch: int = 4,
    hidden: int = 64,
    mixture: int = 10,
    conditional: bool = False,
    dropout: float = 0.0,
) -> Decoder | PatchDecoder:
    """The decoder for this kind of data: a PatchDecoder for images, a MusicDecoder for tokens [T, V], else a Decoder.

    patch, hidden, mixture: of a PatchDecoder. dropout: of the others.
    """
    from src.networks.music_decoder import MusicDecoder  # it is a Decoder

    if spec.kind == "image":
        return PatchDecoder(spec, width, depth, heads, patch, hidden, mixture, conditional)
    return (MusicDecoder if len(spec.shape) == 2 else Decoder)(spec, width, depth, heads, conditional, dropout)
