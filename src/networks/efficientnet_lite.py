"""EfficientNet-Lite0, an ImageNet classifier small enough for a CPU: features of natural images."""

from torch import Tensor, nn

# (expansion, kernel, stride, channels, repeats): Tan and Le 2019, Table 1, stages 2 to 8.
STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
STEM, HEAD = 32, 1280


class EfficientNetLite0(nn.Module):
    """EfficientNet-B0 (Tan and Le 2019, arXiv:1905.11946) without squeeze-excitation and with ReLU6: 4,652,008 parameters.

    The Lite variants (Liu 2020, "Higher accuracy on vision models with EfficientNet-Lite") are made for small devices; stem
    and head have the same widths in all of them. Padding and the epsilon of batch norm are TensorFlow's, because the public
    weights were trained with it.

    forward: images [B, 3, 224, 224] in [-1, 1] -> (features [B, 1280], pooled; logits [B, 1000]).
    """

    size = 224
    feature_size = HEAD

    def __init__(self) -> None:
        super().__init__()
        blocks, c = [], STEM
        for expansion, kernel, stride, channels, repeats in STAGES:
            for repeat in range(repeats):
                blocks.append(Block(c, channels, expansion, kernel, stride if repeat == 0 else 1))
                c = channels
        self.stem = convolution(3, STEM, 3, stride=2)
        self.blocks = nn.Sequential(*blocks)
        self.head = convolution(c, HEAD, 1)
        self.logits = nn.Linear(HEAD, 1000)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.blocks(self.stem(x))  # [B, 3, 224, 224] -> [B, 32, 112, 112] -> [B, 320, 7, 7]
        features = self.head(x).mean(dim=(2, 3))  # [B, 1280, 7, 7] -> [B, 1280]
        return features, self.logits(features)

    def stages(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        """The outputs of the last block at each resolution, [B, C, H, W] with H = W = 112, 56, 28, 14, 7; and the features."""
        x, found = self.stem(x), list[Tensor]()
        for block in self.blocks:
            x = block(x)
            found = [*found[: -1 if found and found[-1].shape[2] == x.shape[2] else None], x]
        return found, self.head(x).mean(dim=(2, 3))


class Block(nn.Module):
    """Inverted residual (Sandler et al. 2018): 1 x 1 expansion, depthwise convolution, 1 x 1 projection; [B, C, H, W]."""

    def __init__(self, c_in: int, c_out: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        wide = c_in * expansion
        self.layers = nn.Sequential(
            *([convolution(c_in, wide, 1)] if expansion > 1 else []),
            convolution(wide, wide, kernel, stride, groups=wide),
            convolution(wide, c_out, 1)[:-1],  # no activation
        )
        self.residual = stride == 1 and c_in == c_out

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x) if self.residual else self.layers(x)


def convolution(c_in: int, c_out: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    # TensorFlow's "same" padding of an even side: with a stride of 2, the odd pixel is added on the right and below.
    before, after = (kernel - stride) // 2, (kernel - stride + 1) // 2
    return nn.Sequential(
        nn.ZeroPad2d((before, after, before, after)),
        nn.Conv2d(c_in, c_out, kernel, stride, groups=groups, bias=False),
        nn.BatchNorm2d(c_out, eps=1e-3),
        nn.ReLU6(),
    )
