"""RelGAN's discriminator: a convolutional network that looks at several representations of a text (Nie et al. 2019)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from src.data.spec import Spec
from src.networks.mlp import Dropout


class TextDiscriminator(nn.Module):
    """Texts, or distributions over symbols, to one logit for each of S embedded representations (section 2.4).

    An embedding of `width` numbers is divided into S = `representations` parts. The same network looks at each: convolutions
    along the text, their maxima over all positions (Kim 2014, arXiv:1408.5882), two linear layers. From the paper it differs in
    sizes and in LeakyReLU in place of a highway layer.

    kernels: symbols that a convolution looks at; each has `filters` channels. dropout: of the maxima.
    """

    def __init__(
        self,
        spec: Spec,
        width: int = 64,
        representations: int = 16,
        kernels: Sequence[int] = (2, 3, 4, 5),
        filters: int = 32,
        hidden: int = 64,
        dropout: float = 0.25,
    ) -> None:
        super().__init__()
        if width % representations:
            raise ValueError(
                f"{width} numbers cannot be divided into {representations} representations: choose a width that is a multiple"
            )
        kernels = [size for size in kernels if size <= spec.shape[0]]
        self.representations = representations
        self.embedding = nn.Embedding(len(spec.x.names), width)
        self.convolutions = nn.ModuleList(nn.Conv1d(width // representations, filters, size) for size in kernels)
        self.out = nn.Sequential(
            Dropout(dropout), nn.Linear(len(kernels) * filters, hidden), nn.LeakyReLU(0.2), nn.Linear(hidden, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Symbols [B, T] or distributions [B, T, V] to logits [B, S]: high for real, low for fake."""
        embedded = x @ self.embedding.weight if x.is_floating_point() else self.embedding(x)  # [B, T, width]
        parts = embedded.unflatten(2, (self.representations, -1)).permute(0, 2, 3, 1).flatten(0, 1)  # [B * S, width / S, T]
        maxima = [F.leaky_relu(layer(parts), 0.2).amax(2) for layer in self.convolutions]  # [B * S, filters] each
        return self.out(torch.cat(maxima, dim=1).unflatten(0, (len(x), -1))).squeeze(2)
