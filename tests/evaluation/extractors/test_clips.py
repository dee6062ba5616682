import numpy as np
import pytest
import torch

from src.data.mnist import MNIST
from src.data.moving_mnist import Clips, MovingMNIST
from src.evaluation.extractors.clips import NAME, ClipFeatures
from src.evaluation.metrics.trajectories import follow, trajectory_metrics


@pytest.fixture(scope="module")
def features() -> ClipFeatures:
    found = ClipFeatures()
    assert found.name == NAME
    return found


@pytest.fixture(scope="module")
def unseen(mnist: MNIST) -> Clips:
    return MovingMNIST(mnist.folder).split("test")


def test_it_finds_the_digits_of_unseen_clips(features: ClipFeatures, unseen: Clips) -> None:
    rows = np.arange(40)
    truth, x = unseen.truth(rows), unseen.batch(rows)["x"]
    found = features.digits(x)
    there = found.classes >= 0
    assert (there == ~np.isnan(found.places[..., 0])).all()
    assert there.all(axis=2).mean() > 0.75  # others overlap
    distance = np.linalg.norm(found.places[:, :, :, None] - truth.places[:, :, None], axis=4)  # [N, T, find, digit]
    nearest = distance.argmin(axis=3)
    assert np.median(distance.min(axis=3)[there]) < 1
    right = np.take_along_axis(np.broadcast_to(truth.digits[:, None], nearest.shape), nearest, axis=2) == found.classes
    assert right[there].mean() > 0.75
    measured = trajectory_metrics(follow(*found))
    assert measured["trajectory"] < 2
    assert measured["identity"] > 0.7


def test_features_of_any_clip(features: ClipFeatures, unseen: Clips) -> None:
    x = unseen.batch(np.arange(25))["x"]
    found = features(x)
    assert found.shape == (25, 96)
    torch.testing.assert_close(found[20:], features(x[20:]))
    torch.testing.assert_close(features(np.repeat(x[:2], 3, axis=2)), found[:2], atol=1e-3, rtol=1e-3)
    small = np.random.default_rng(0).integers(256, size=(2, 4, 3, 16, 16), dtype=np.uint8)
    assert features(small).isfinite().all()
    assert (features(x[:2, ::-1].copy()) != found[:2]).any()  # order counts
