"""A small convolutional network that tells which attributes an image has."""

from itertools import pairwise

from torch import Tensor, nn

from src.data.spec import Spec


class AttributeClassifier(nn.Module):
    """Three convolutions that each halve the side, and a linear layer, which knows where in the image something is.

    forward: images [B, C, H, W] in [-1, 1] to logits [B, attributes].
    """

    def __init__(self, spec: Spec, attributes: int, width: int = 16) -> None:
        super().__init__()
        channels, height, side = spec.shape
        sizes = (channels, width, 2 * width, 2 * width)
        layers: list[nn.Module] = []
        for a, b in pairwise(sizes):
            layers += [nn.Conv2d(a, b, 3, stride=2, padding=1), nn.ReLU()]
            height, side = (height + 1) // 2, (side + 1) // 2
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(sizes[-1] * height * side, attributes))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)
