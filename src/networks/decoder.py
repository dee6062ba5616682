"""A decoder-only transformer: p(x_t | x_<t) for every position of a sequence of symbols, on src/networks/causal.py.

Output weights are tied to the embeddings (Press and Wolf 2017, arXiv:1608.05859). No weight depends on the length.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from src.data.spec import Spec
from src.networks.causal import Cache, CausalTransformer, rotations
from src.networks.patch_decoder import PatchDecoder
from src.networks.sizes import count_classes


class Decoder(CausalTransformer):
    """Symbols to the logits of each symbol, given the symbols before it. The vocabulary is that of the data's field "x".

    width: channels of a position. depth: blocks. heads: attention heads, each with d = width / heads channels.
    conditional: every class has a start symbol of its own.
    """

    def __init__(self, spec: Spec, width: int = 128, depth: int = 4, heads: int = 4, conditional: bool = False) -> None:
        if not spec.x.names:
            raise ValueError(f"a decoder takes symbols of a vocabulary and the data are {spec.kind}: choose data of tokens")
        classes, vocabulary = count_classes(spec, conditional), len(spec.x.names)
        embedding = nn.Embedding(vocabulary + max(classes, 1), width)  # the last rows are the start symbols
        # GPT-2's 0.02 is for wide networks: narrow ones learn slower with it.
        nn.init.normal_(embedding.weight, std=width**-0.5)
        super().__init__(embedding, width, depth, heads)
        self.classes, self.vocabulary = classes, vocabulary

    def forward(self, tokens: Tensor, y: Tensor | None = None) -> Tensor:
        """Symbols [B, T], y [B] if conditional, to logits [B, T, V]; logits at t depend only on y and the symbols before t."""
        x = self.embedding(torch.cat([self.start(len(tokens), y), tokens[:, :-1]], dim=1))  # [B, T, width]
        rotation = rotations(torch.arange(tokens.shape[1], device=tokens.device), self.channels)
        return self.logits(self.contexts(x, rotation))

    def nats(self, logits: Tensor, tokens: Tensor) -> Tensor:
        """-log p of each symbol [B, T] from its logits [B, T, V]."""
        return F.cross_entropy(logits.mT, tokens, reduction="none")

    def start(self, batch: int, y: Tensor | None = None) -> Tensor:
        """The start symbol, which comes before every sequence, [B, 1]: V, or V + y for classes y [B]."""
        if self.classes:
            assert y is not None, "a conditional network needs labels"
            return self.vocabulary + y[:, None]
        return torch.full((batch, 1), self.vocabulary, device=self.embedding.weight.device)

    def cache(self, batch: int, length: int) -> Cache:
        """An empty cache for `length` steps."""
        return self.empty_cache(batch, length)

    @torch.no_grad()
    def step(self, token: Tensor, cache: Cache) -> Tensor:
        """The last symbol so far [B, 1], at first `start`, to the logits [B, V] of the next one; adds to the cache."""
        rotation = rotations(torch.tensor([cache.used], device=token.device), self.channels)
        return self.logits(self.step_on(self.embedding(token), rotation, cache))

    def logits(self, contexts: Tensor) -> Tensor:
        """[..., width] to [..., V]."""
        return contexts @ self.embedding.weight[: self.vocabulary].T


def decoder(
    spec: Spec,
    width: int = 128,
    depth: int = 4,
    heads: int = 4,
    patch: int = 4,
    hidden: int = 64,
    mixture: int = 10,
    conditional: bool = False,
) -> Decoder | PatchDecoder:
    """The decoder for this kind of data: a PatchDecoder for images, else a Decoder, which has no patch, hidden and mixture."""
    if spec.kind == "image":
        return PatchDecoder(spec, width, depth, heads, patch, hidden, mixture, conditional)
    return Decoder(spec, width, depth, heads, conditional)
