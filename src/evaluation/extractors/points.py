"""Points in the plane with known mode centres: the modes that a generator finds, and its share of points near a mode."""

import hashlib
from pathlib import Path

import torch
from torch import Tensor, nn

from src.config.errors import UserError
from src.data.gaussians import CENTRES, SIGMA, Gaussians
from src.evaluation.extractors.backbone import Backbone

POINTS = "points"
NEAR = 3  # standard deviations: points further from every centre are of low quality


class PointsExtractor(nn.Module):
    """Points [B, 2] -> the same points as features, and logits [B, K] of the Gaussians at `centres` [K, 2] by Bayes' rule."""

    def __init__(self, centres: Tensor, sigma: float) -> None:
        super().__init__()
        self.register_buffer("centres", centres)
        self.sigma = sigma

    def forward(self, points: Tensor) -> tuple[Tensor, Tensor]:
        return points, -squares(points, self.get_buffer("centres")) / (2 * self.sigma**2)


def load_points(weights: str | Path | None) -> Backbone:
    """The extractor for src/data/gaussians.py. It has no weights file; its hash is of the centres and their sigma."""
    if weights:
        raise UserError(f"{POINTS} has no weights, its features are the points: leave evaluation.weights empty")
    digest = hashlib.sha256(CENTRES.tobytes() + str(SIGMA).encode()).hexdigest()
    module = PointsExtractor(torch.from_numpy(CENTRES).float(), SIGMA)
    names = Gaussians().spec.classes
    return Backbone(
        module, digest, digest, feature_size=2, batch_size=10_000, class_names=names, channels=(), training_images=10_000
    )


def mode_quality(points: Tensor, centres: Tensor | None = None, sigma: float = SIGMA) -> dict[str, float]:
    """`modes`, the number of centres with a point within 3 sigma; `high_quality`, the share of points [N, 2] within 3 sigma.

    The protocol of VEEGAN (Srivastava et al. 2017, section 4.1). For real points, `high_quality` is 1 - exp(-4.5) = 98.9 %.
    centres: [K, 2]; None for those of src/data/gaussians.py.
    """
    centres = torch.from_numpy(CENTRES).float() if centres is None else centres
    square, mode = squares(points, centres).min(dim=1)
    near = square <= (NEAR * sigma) ** 2
    return {"modes": len(mode[near].unique()), "high_quality": near.double().mean().item()}


def squares(points: Tensor, centres: Tensor) -> Tensor:
    """Squared distances [N, K], from differences: the expanded square is too inexact for a small sigma."""
    return (points[:, None] - centres).square().sum(dim=2)  # [N, 1, 2] - [K, 2] -> [N, K]
