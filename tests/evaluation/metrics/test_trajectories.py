"""On truth of the data, on truth that is spoiled, and on paths made by hand."""

import numpy as np
import pytest

from src.data.mnist import MNIST
from src.data.moving_mnist import MovingMNIST, Truth
from src.evaluation.metrics.trajectories import FAR, bounce_share, follow, nearest_path, path_error, trajectory_metrics


@pytest.fixture(scope="module")
def truth(mnist: MNIST) -> Truth:
    return MovingMNIST(mnist.folder).split("test").truth(np.arange(150))


def metrics(truth: Truth, places: np.ndarray, missing: np.ndarray | None = None) -> dict[str, float]:
    """Of places that are found in any order, without those that are missing."""
    classes = np.broadcast_to(truth.digits[:, None], places.shape[:3]).copy()
    places = places.copy()
    if missing is not None:
        places[missing], classes[missing] = np.nan, -1
    swap = np.random.default_rng(0).random(places.shape[:2]) < 0.5
    places = np.where(swap[..., None, None], places[:, :, ::-1], places)
    return trajectory_metrics(follow(places, np.where(swap[..., None], classes[:, :, ::-1], classes)))


def test_truth_and_what_is_found_of_it(truth: Truth) -> None:
    for places in (truth.places, np.round(truth.places), truth.places[:, ::-1]):
        found = metrics(truth, places)
        assert found["trajectory"] < 0.6
        assert found["identity"] > 0.99
        assert found["bounces"] > 0.95
        assert found["digits"] == 1
        assert 3 < found["speed"] < 3.7
    missing = np.random.default_rng(1).random(truth.places.shape[:3]) < 0.1
    found = metrics(truth, truth.places, missing)
    assert found["trajectory"] < 0.6
    assert found["digits"] == pytest.approx(0.81, abs=0.03)


def test_what_does_not_move_as_digits_do(truth: Truth) -> None:
    frozen = metrics(truth, np.broadcast_to(truth.places[:, :1], truth.places.shape))
    assert frozen["trajectory"] > 4
    assert frozen["identity"] == 1
    assert frozen["bounces"] == frozen["speed"] == 0
    order = np.random.default_rng(2).permutation(16)
    shuffled = metrics(truth, truth.places[:, order])
    assert shuffled["trajectory"] > 8
    assert shuffled["identity"] < 0.8  # digits are taken for each other
    assert shuffled["bounces"] < 0.4
    none = metrics(truth, truth.places, np.ones(truth.places.shape[:3], bool))
    assert none == {"trajectory": FAR, "identity": 0, "bounces": 0, "digits": 0, "speed": 0}


def test_a_digit_that_is_seldom_found_has_the_largest_error(truth: Truth) -> None:
    missing = np.zeros(truth.places.shape[:3], bool)
    missing[:, 7:] = True  # found in 7 of 16 frames
    assert metrics(truth, truth.places, missing)["trajectory"] == FAR


def test_the_nearest_path() -> None:
    time = np.arange(16.0)
    even = np.stack([3 + 2.0 * time, 10 + 1.0 * time], axis=1)[None] % 72
    even = np.minimum(even, 72 - even)
    np.testing.assert_allclose(nearest_path(even), even, atol=1e-6)
    assert path_error(np.where(time[None, :, None] == 4, np.nan, even)) == pytest.approx(0, abs=1e-6)
    slow = np.stack([3 + 0.5 * time, np.full(16, 10.0)], axis=1)[None]  # slower than digits are
    assert path_error(slow)[0] > 2


def test_bounces() -> None:
    line = np.array([22.0, 26.0, 30.0, 34.0])  # 38 is beyond the wall at 36
    tracks = np.full((1, 2, 5, 2), np.nan)
    for last, share in ((34.0, 1.0), (36.0, 1.0), (38.0, 0.0), (10.0, 0.0), (np.nan, 0.0)):
        tracks[0, 0, :, 0] = [*line, last]
        assert bounce_share(tracks) == share
