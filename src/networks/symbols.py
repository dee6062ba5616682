"""What networks share that predict symbols: the check of their data, start symbols, and output weights tied to the embeddings.

Tied weights: Press and Wolf 2017 (arXiv:1608.05859).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from src.data.spec import Spec
from src.networks.sizes import count_classes


class SymbolNetwork(nn.Module):
    """Maps symbols to the logits of each symbol, given those before it; the vocabulary is that of the data's field "x".

    A subclass sets these. embedding: of the symbols, then of the start symbols, see `embeddings`. vocabulary: number of
    symbols. classes: number of classes, each with a start symbol of its own; 0 for one start symbol. conditions: names of the
    arguments besides symbols.
    """

    embedding: nn.Embedding | nn.Linear
    vocabulary: int
    classes: int
    conditions: tuple[str, ...]

    def start(self, batch: int, y: Tensor | None = None) -> Tensor:
        """The start symbol, which comes before every sequence, [B, 1]: V, or V + y for classes y [B]."""
        if self.classes:
            assert y is not None, "a conditional network needs labels"
            return self.vocabulary + y[:, None]
        return torch.full((batch, 1), self.vocabulary, device=self.embedding.weight.device)

    def logits(self, outputs: Tensor) -> Tensor:
        """[..., width] to [..., V]."""
        return outputs @ self.embedding.weight[: self.vocabulary].T

    def nats(self, logits: Tensor, tokens: Tensor) -> Tensor:
        """-log p of each symbol [B, T] from its logits [B, T, V]."""
        return F.cross_entropy(logits.flatten(0, 1), tokens.flatten(), reduction="none").unflatten(0, tokens.shape)


def check_symbols(spec: Spec, network: str) -> None:
    """Raise ValueError for data without a vocabulary, or with a source of another one. network: such as "a decoder"."""
    if not spec.x.names:
        raise ValueError(f"{network} takes symbols of a vocabulary and the data are {spec.kind}: choose data of tokens")
    source = spec.fields.get("source")
    if source and source.names != spec.x.names:
        raise ValueError("the vocabulary of source is not that of x: take data in which they are the same")


def start_classes(spec: Spec, conditional: bool) -> int:
    """Number of classes with a start symbol of their own. Data with a source and without classes need none."""
    return count_classes(spec, conditional and (bool(spec.classes) or "source" not in spec.fields))


def embeddings(spec: Spec, classes: int, width: int) -> nn.Embedding:
    """Of the V symbols and of the start symbols, [V + max(classes, 1), width], from N(0, 1 / width)."""
    embedding = nn.Embedding(len(spec.x.names) + max(classes, 1), width)
    # GPT-2's 0.02 is for wide networks: narrow ones learn slower with it.
    nn.init.normal_(embedding.weight, std=width**-0.5)
    return embedding
