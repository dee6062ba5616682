import numpy as np
import pytest

from src.config.errors import UserError
from src.data.dataset import check_dataset
from src.data.mnist import MNIST
from src.data.moving_mnist import DIGIT, ROOM, SIZES, SPEEDS, MovingMNIST, bounced, draw, uniform


@pytest.fixture(scope="module")
def moving(mnist: MNIST) -> MovingMNIST:
    dataset = MovingMNIST(mnist.folder)
    dataset.prepare()
    return dataset


def test_it_is_what_it_says(moving: MovingMNIST) -> None:
    check_dataset(moving)
    assert {name: len(moving.split(name)) for name in SIZES} == SIZES
    assert moving.spec.x.rate == 10
    assert moving.hashes().keys() >= {"test clips", "train-images-idx3-ubyte"}


def test_a_clip_depends_on_its_split_and_index_alone(moving: MovingMNIST) -> None:
    split = moving.split("train")
    together = split.batch(np.array([[5, 70_000 % SIZES["train"]], [5, 3]]))["x"]
    assert together.shape == (2, 2, 16, 1, 64, 64)
    np.testing.assert_array_equal(together[0, 0], together[1, 0])
    np.testing.assert_array_equal(together[1, 1], split.batch(np.array([3]))["x"][0])
    assert (together[0, 0] != moving.split("validation").batch(np.array([5]))["x"][0]).any()
    longer = MovingMNIST(moving.mnist.folder, frames=20).split("train").batch(np.array([5]))["x"]
    np.testing.assert_array_equal(longer[0, :16], together[0, 0])


def test_digits_of_the_split_move_evenly_and_bounce(moving: MovingMNIST) -> None:
    split = moving.split("test")
    truth = split.truth(np.arange(200))
    digits = moving.mnist.split("test")
    np.testing.assert_array_equal(truth.digits, digits["y"][truth.rows])
    assert truth.rows.max() > 9000  # all of the split
    assert 0 <= truth.places.min() < 0.1
    assert ROOM - 0.1 < truth.places.max() <= ROOM
    speeds = np.linalg.norm(truth.velocities, axis=3)
    assert np.allclose(speeds, speeds[:, :1])
    assert SPEEDS[0] <= speeds.min() < SPEEDS[0] + 0.1
    assert SPEEDS[1] - 0.1 < speeds.max() <= SPEEDS[1]
    # A step is the velocity, unless a wall is met within it.
    steps, inside = np.diff(truth.places, axis=1), truth.velocities[:, :-1] == truth.velocities[:, 1:]
    np.testing.assert_allclose(steps[inside], truth.velocities[:, :-1][inside])
    assert 0.05 < 1 - inside.mean() < 0.2


def test_the_frames_show_the_truth(moving: MovingMNIST) -> None:
    split = moving.split("validation")
    truth, x = split.truth(np.arange(3)), split.batch(np.arange(3))["x"]
    images = moving.mnist.split("validation")["x"][:, 0]
    corners = np.round(truth.places).astype(int)
    for n, t in ((0, 0), (1, 7), (2, 15)):
        frame = np.zeros((64, 64), np.uint8)
        for row, (left, top) in zip(truth.rows[n], corners[n, t], strict=True):
            part = frame[top : top + DIGIT, left : left + DIGIT]
            part[:] = np.maximum(part, images[row])
        np.testing.assert_array_equal(x[n, t, 0], frame)
    assert draw(images[truth.rows], truth.places).shape == (3, 16, 64, 64)


def test_random_numbers() -> None:
    """The first outputs of SplitMix64 for the seed 1 * 2^56 are those of its definition in whole numbers."""
    state, expected = 1 << 56, []
    for _ in range(6):
        state = (state + 0x9E3779B97F4A7C15) % 2**64
        z = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
        expected.append(((z ^ (z >> 31)) >> 11) * 2.0**-53)
    np.testing.assert_array_equal(uniform(1, np.array([0, 1]), 3), np.reshape(expected, (2, 3)))
    numbers = uniform(2, np.arange(5000), 4)
    assert abs(numbers.mean() - 0.5) < 0.01
    assert 0 <= numbers.min() < numbers.max() < 1


def test_walls_mirror() -> None:
    places, directions = bounced(np.array([-3.0, 0.0, 10.0, ROOM + 2.0, 2 * ROOM + 1.0]))
    assert places.tolist() == [3, 0, 10, ROOM - 2, 1]
    assert directions.tolist() == [-1, 1, 1, -1, 1]


def test_other_lengths_are_refused(mnist: MNIST) -> None:
    with pytest.raises(UserError, match=r"data\.frames=15: clips of moving_mnist have 16 to 20 frames"):
        MovingMNIST(mnist.folder, frames=15)
