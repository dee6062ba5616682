import numpy as np
import pytest

from src.evaluation.metrics.captions import HUES, has_hue, mean_hues, named_hue, r_precision


def test_r_precision_counts_own_captions_above_others() -> None:
    scores = np.array([[3.0, 1.0, 2.0], [5.0, 4.0, 0.0], [1.0, 1.0, 1.0]])
    others = np.array([[1, 2], [0, 2], [0, 1]])
    assert r_precision(scores, others) == pytest.approx((1 + 0 + 1 / 3) / 3)
    assert r_precision(scores, others[:, 1:]) == pytest.approx((1 + 1 + 1 / 2) / 3)


def test_the_mean_hue_ignores_white_black_and_grey() -> None:
    x = np.full((4, 3, 8, 8), 255, np.uint8)
    for picture, colour in zip(x, ((200, 0, 0), (0, 200, 0), (0, 0, 200), (200, 200, 0)), strict=True):
        picture[:, 2:5, 2:5] = np.array(colour)[:, None, None]
        picture[:, 5], picture[:, 6] = 0, 127
    assert mean_hues(x) == pytest.approx([0, 120, 240, 60])
    x[0, :, 4, 4] = (0, 0, 10)  # a little blue
    assert 355 < mean_hues(x)[0] < 360


def test_hues_go_around() -> None:
    assert has_hue(np.array([359.0, 2.0, 210.0, 342.0]), ["red", "red", "blue", "red"]).tolist() == [True, True, True, False]
    hues = np.arange(0.5, 360)
    assert np.sum([has_hue(hues, [name] * 360) for name in HUES], axis=0).tolist() == [1] * 360  # each has one name


def test_a_caption_names_one_hue() -> None:
    assert named_hue(["a", "red", "heart", "red"]) == "red"
    assert named_hue(["red", "and", "green"]) is None
    assert named_hue(["heart"]) is None
