import numpy as np
import pytest
import torch
from torch import Tensor

from src.data.dataset import Arrays
from src.data.mnist import MNIST
from src.evaluation.extractors.extractor import Extractor, load_extractor


@pytest.fixture(scope="session")
def digits() -> Extractor:
    return load_extractor("digits")


@pytest.fixture(scope="session")
def test_split(mnist: MNIST) -> Arrays:
    return mnist.split("test")


@pytest.fixture(scope="session")
def test_images(test_split: Arrays) -> Tensor:
    """[10000, 1, 28, 28]"""
    return torch.from_numpy(np.array(test_split["x"]))


@pytest.fixture(scope="session")
def test_features(digits: Extractor, test_images: Tensor) -> Tensor:
    """[10000, 128]"""
    return digits(test_images).features


@pytest.fixture(scope="session")
def train_images(mnist: MNIST) -> Tensor:
    """[5000, 1, 28, 28], the first of the training split."""
    return torch.from_numpy(np.array(mnist.split("train")["x"][:5000]))


@pytest.fixture(scope="session")
def train_features(digits: Extractor, train_images: Tensor) -> Tensor:
    """[5000, 128]"""
    return digits(train_images).features
