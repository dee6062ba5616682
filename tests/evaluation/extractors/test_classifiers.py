import numpy as np
import pytest
import torch
from torch import Tensor

from src.config.errors import UserError
from src.data.dataset import Arrays
from src.evaluation.extractors.classifiers import CLASSIFIERS, STACKED_CLASSES
from src.evaluation.extractors.extractor import Extractor, load_extractor


@pytest.fixture(scope="module")
def stacked() -> Extractor:
    return load_extractor("stacked_digits")


def test_stacked_digits_are_read_channel_by_channel(stacked: Extractor, digits: Extractor, test_images: Tensor) -> None:
    images = test_images[:300, 0].view(100, 3, 28, 28)
    features, logits = stacked(images)
    single = digits(images.flatten(0, 1)[:, None])
    assert torch.allclose(features, single.features.view(100, 384), atol=1e-4)
    by_channel = single.logits.double().log_softmax(dim=1).view(100, 3, 10)
    for label in (0, 7, 40, 600, 123, 999):
        r, g, b = (int(digit) for digit in STACKED_CLASSES[label])
        expected = by_channel[:, 0, r] + by_channel[:, 1, g] + by_channel[:, 2, b]
        assert torch.allclose(logits[:, label].double(), expected, atol=1e-3)
    assert torch.allclose(logits.exp().sum(dim=1), torch.ones(100), atol=1e-3)


def test_stacked_digits_know_their_labels(stacked: Extractor, test_images: Tensor, test_split: Arrays) -> None:
    images = test_images[:3000, 0].view(1000, 3, 28, 28)
    labels = test_split["y"][:3000].reshape(1000, 3) @ np.array([100, 10, 1])
    right = (stacked(images).logits.argmax(dim=1).numpy() == labels).mean()
    # The channels' errors come together. These digits are the harder half of the test set.
    assert right == pytest.approx(CLASSIFIERS["digits"].accuracy ** 3, abs=0.02)


def test_what_stacked_digits_are_called(stacked: Extractor) -> None:
    assert (stacked.name, stacked.classes, stacked.feature_size) == ("stacked_digits", 1000, 384)
    assert stacked.key("fd") == "fd_stacked_digits"
    assert stacked.weights_sha256 == CLASSIFIERS["digits"].sha256
    with pytest.raises(UserError, match="takes images of 3 channels, not 1"):
        stacked(torch.zeros(2, 1, 28, 28, dtype=torch.uint8))
