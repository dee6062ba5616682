import math

import numpy as np
import pytest
import torch

from src.config.errors import UserError
from src.data.gaussians import CENTRES, SIGMA, Gaussians
from src.evaluation.extractors.extractor import load_extractor
from src.evaluation.extractors.points import mode_quality


def test_quality_by_hand() -> None:
    centres = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    # Two points near the first centre, one 2.9 sigma from the second, one just too far from the third.
    points = torch.tensor([[0.0, 0.0], [0.01, 0.02], [1.0, 0.29], [0.31, 1.0]])
    assert mode_quality(points, centres, sigma=0.1) == {"modes": 2, "high_quality": 0.75}
    assert mode_quality(points[3:], centres, sigma=0.1) == {"modes": 0, "high_quality": 0.0}


def test_real_points_find_every_mode() -> None:
    found = mode_quality(torch.from_numpy(Gaussians().split("test")["x"].copy()))
    assert found["modes"] == 25
    assert found["high_quality"] == pytest.approx(1 - math.exp(-4.5), abs=0.004)


def test_features_are_the_points_and_logits_know_the_labels() -> None:
    extractor = load_extractor("points")
    split = Gaussians().split("test")
    x, y = split["x"], split["y"]
    points = torch.from_numpy(x[:2000].copy())
    features, logits = extractor(points)
    assert torch.equal(features, points)
    assert extractor.class_names == Gaussians().spec.classes
    assert (logits.argmax(dim=1).numpy() == y[:2000]).all()
    square = ((x[:2000, None].astype(np.float64) - CENTRES) ** 2).sum(axis=2)
    assert torch.allclose(logits.double(), torch.from_numpy(-square / (2 * SIGMA**2)), rtol=1e-3, atol=1e-2)
    assert extractor.key("fd") == "fd_points"


def test_points_and_images_are_not_mixed_up(tmp_path) -> None:
    with pytest.raises(UserError, match="points cannot measure"):
        load_extractor("points")(torch.zeros(2, 1, 8, 8, dtype=torch.uint8))
    with pytest.raises(UserError, match="digits cannot measure"):
        load_extractor("digits")(torch.zeros(2, 2))
    with pytest.raises(UserError, match="has no weights"):
        load_extractor("points", tmp_path / "weights")
