"""Piano rolls: notes in the colours of their voices, where they sound."""

import numpy as np

from src.data.music.notes import Note
from src.modalities.music.roll import VOICES, picture
from src.modalities.music.tune import Tune


def ink(image: np.ndarray, voice: int) -> np.ndarray:
    """[2, number of pixels]: rows and columns in a voice's colour."""
    return np.array(np.nonzero((image == VOICES[voice]).all(axis=2)))


def test_higher_later_and_longer_notes() -> None:
    tune = Tune((Note(0, 72, 0, 8), Note(1, 60, 8, 16)), 32, voices=2)
    image = picture([tune], ["1"])
    high, low = ink(image, 0), ink(image, 1)
    assert high[0].max() < low[0].min()
    assert high[1].max() < low[1].min()
    assert 1.9 < np.ptp(low[1]) / np.ptp(high[1]) < 2.2


def test_many_tunes_in_one_picture() -> None:
    tunes = [Tune((Note(0, 60 + number, 0, 4),), 16) for number in range(6)] + [Tune((), 32)]
    image = picture(tunes, [str(number) for number in range(7)])
    assert image.dtype == np.uint8
    assert len({*(ink(image, 0)[0] // 100)}) > 1  # rows of rolls
    assert picture(tunes, [""] * 7, columns=7).shape[1] > image.shape[1]
