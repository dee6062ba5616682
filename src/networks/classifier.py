"""A small convolutional classifier of 28x28 grey images: features for distances, logits for the Inception Score."""

from torch import Tensor, nn


class Classifier(nn.Module):
    """Two 3x3 convolutions and two linear layers, 421,770 parameters with ten classes (LeCun et al. 1998, with ReLU).

    forward: images [B, 1, 28, 28] in [-1, 1] -> (features [B, 128], after the ReLU; logits [B, classes]).
    """

    size = 28
    feature_size = 128

    def __init__(self, classes: int = 10, dropout: float = 0.5) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv2d(1, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
        )
        # Without batch norm, the mean of the positive inputs leaves half of these units dead.
        self.features = nn.Sequential(
            nn.Linear(64 * 7 * 7, self.feature_size, bias=False), nn.BatchNorm1d(self.feature_size), nn.ReLU()
        )
        self.logits = nn.Sequential(nn.Dropout(dropout), nn.Linear(self.feature_size, classes))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.features(self.convolutions(x))  # [B, 1, 28, 28] -> [B, 64 * 7 * 7] -> [B, 128]
        return features, self.logits(features)

    def stages(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        """The outputs of the two convolutions, [B, 32, 28, 28] and [B, 64, 14, 14] after their ReLUs; and the features."""
        first = self.convolutions[:2](x)
        second = self.convolutions[2:5](first)
        return [first, second], self.features(self.convolutions[5:](second))
