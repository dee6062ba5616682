import numpy as np
import pytest

from src.config.errors import UserError
from src.data.binary_mnist import BinaryMNIST
from src.data.dataset import check_dataset


@pytest.fixture(scope="module")
def binary(mnist):
    return BinaryMNIST(mnist.folder)


def test_the_draw_is_pinned(binary, monkeypatch):
    binary.prepare()
    check_dataset(binary)
    assert binary.spec.x.levels == 2
    monkeypatch.setattr(BinaryMNIST, "sha256", BinaryMNIST.sha256 | {"test pixels": "0" * 64})
    with pytest.raises(UserError, match="install the locked version"):
        binary.prepare()


def test_pixels_are_white_as_often_as_they_are_bright(binary, mnist):
    drawn, grey = binary.split("test")["x"], mnist.split("test")["x"]
    assert sorted(np.unique(drawn)) == [0, 255]
    assert (drawn[grey == 0] == 0).all()
    assert (drawn[grey == 255] == 255).all()
    half = (grey > 96) & (grey < 160)
    assert (drawn[half] / 255).mean() == pytest.approx(grey[half].mean() / 255, abs=0.01)
    assert np.array_equal(binary.split("test")["y"], mnist.split("test")["y"])
