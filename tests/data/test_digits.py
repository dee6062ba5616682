import numpy as np
import pytest
from sklearn.datasets import load_digits

from src.config.errors import UserError
from src.data.dataset import SPLITS, Dataset
from src.data.digits import Digits


def test_splits():
    digits: Dataset = Digits()
    digits.prepare()
    for name, size in zip(SPLITS, (1_197, 300, 300), strict=True):
        split = digits.split(name)
        x, y = split["x"], split["y"]
        assert x.shape == (size, *digits.spec.shape) == (size, 1, 8, 8)
        assert (x.dtype, y.dtype) == (np.uint8, np.int64)
        assert (x.min(), x.max()) == (0, 255)
        assert set(y) == set(range(10)) == set(map(int, digits.spec.classes))


def test_the_splits_are_the_source_once_each():
    digits = Digits()
    x = np.concatenate([digits.split(name)["x"] for name in SPLITS])[:, 0]
    y = np.concatenate([digits.split(name)["y"] for name in SPLITS])
    source = load_digits()
    back = [(label, *np.round(image / 255 * 16).astype(int).ravel()) for label, image in zip(y, x, strict=True)]
    assert sorted(back) == sorted((label, *row.astype(int)) for label, row in zip(source.target, source.data, strict=True))
    assert y.tolist() != source.target.tolist()


def test_other_arrays_are_refused(monkeypatch):
    digits = Digits()
    digits.split("train")["x"][0, 0, 0, 0] ^= 1
    with pytest.raises(UserError, match="scikit-learn"):
        digits.prepare()
