import numpy as np
import pytest
import torch

from src.config.errors import UserError
from src.data.dataset import SPLITS, Dataset
from src.data.gaussians import CENTRES, SIGMA, Gaussians
from src.data.loader import Rows


def test_splits():
    gaussians: Dataset = Gaussians()
    gaussians.prepare()
    assert (gaussians.spec.kind, gaussians.spec.shape) == ("points", (2,))
    for name, size in zip(SPLITS, (100_000, 10_000, 10_000), strict=True):
        split = gaussians.split(name)
        x, y = split["x"], split["y"]
        assert x.shape == (size, 2)
        assert (x.dtype, y.dtype) == (np.float32, np.int64)
        assert np.abs(x).max() < 0.9, "a generator that ends in tanh reaches all of it"


def test_the_splits_do_not_overlap():
    x = np.concatenate([Gaussians().split(name)["x"] for name in SPLITS])
    assert len(np.unique(x, axis=0)) == 120_000


def test_the_names_are_the_papers_coordinates_and_the_scale_is_a_fifth():
    classes = Gaussians().spec.classes
    assert classes[:6] == ("(-4, -4)", "(-4, -2)", "(-4, 0)", "(-4, 2)", "(-4, 4)", "(-2, -4)")
    coordinates = [tuple(map(int, name.strip("()").split(", "))) for name in classes]
    assert len(set(coordinates)) == 25
    assert {value for pair in coordinates for value in pair} == {-4, -2, 0, 2, 4}
    np.testing.assert_allclose(CENTRES, np.array(coordinates) * 0.2)
    assert pytest.approx(0.05 * 0.2) == SIGMA


def test_each_gaussian_has_its_centre_its_spread_and_its_share():
    split = Gaussians().split("train")
    x, y = split["x"], split["y"]
    for label, centre in enumerate(CENTRES):
        points = x[y == label].astype(np.float64) - centre
        n = len(points)  # 4,000 are expected; the margins are five standard errors
        assert n == pytest.approx(4_000, abs=5 * 62)
        np.testing.assert_allclose(points.mean(0), 0, atol=5 * 0.01 / np.sqrt(n))
        np.testing.assert_allclose(points.std(0), 0.01, rtol=5 / np.sqrt(2 * n))
        assert abs(np.corrcoef(points.T)[0, 1]) < 5 / np.sqrt(n)


def test_the_loader_passes_the_points_as_they_are():
    split = Gaussians().split("train")
    batch = Rows(split)[np.array([[3, 1], [4, 1]])]
    assert (batch["x"].dtype, batch["x"].shape) == (torch.float32, (2, 2, 2))
    assert batch["x"][1, 0].tolist() == split["x"][4].tolist()


def test_other_points_are_refused():
    gaussians = Gaussians()
    gaussians.split("test")["x"][0, 0] += 1e-3
    with pytest.raises(UserError, match="NumPy"):
        gaussians.prepare()
