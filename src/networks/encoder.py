"""A small convolutional encoder of images, with a projection head for contrastive learning."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from src.data.spec import Spec


class ConvEncoder(nn.Module):
    """Images to vectors: 3 x 3 convolutions that each halve the side, group norm and ReLU. The last map is the embedding.

    The whole map, not its mean over positions: in small images the class depends on the positions of strokes.
    Group norm (Wu and He 2018) treats each image separately: an embedding does not depend on the batch, and shared statistics
    cannot reveal which images are a pair (Chen et al. 2020 average statistics over all devices for that reason).

    widths: channels of the convolutions. groups: number of groups of group norm; must divide every width.
    head: sizes of the projection head's linear layers, with ReLU between them; three layers as in Chen et al. 2020b
        (arXiv:2006.10029), because an embedding further before the loss is more informative. Empty for rules that project by
        themselves.
    """

    def __init__(
        self, spec: Spec, widths: Sequence[int] = (16, 32, 64), groups: int = 4, head: Sequence[int] = (128, 128, 64)
    ) -> None:
        super().__init__()
        if spec.kind != "image":
            raise ValueError(f"this encoder is for images and the data are {spec.kind}: take image data")
        inputs, height, width = spec.shape
        layers: list[nn.Module] = []
        for outputs in widths:
            layers += [nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False), nn.GroupNorm(groups, outputs), nn.ReLU()]
            inputs, height, width = outputs, (height + 1) // 2, (width + 1) // 2
        self.layers = nn.Sequential(*layers, nn.Flatten())
        linear = [nn.Linear(a, b) for a, b in pairwise([inputs * height * width, *head])]
        self.head = nn.Sequential(*(module for layer in linear[:-1] for module in (layer, nn.ReLU())), *linear[-1:])

    def forward(self, x: Tensor) -> Tensor:
        """Images [B, C, H, W] in [-1, 1] to embeddings h [B, D], D = widths[-1] * H' * W'; [B, 1024] from [B, 1, 28, 28]."""
        return self.layers(x)

    def project(self, h: Tensor) -> Tensor:
        """Embeddings h [B, D] to z [B, head[-1]], which the loss compares."""
        return self.head(h)
