import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from src.config.errors import UserError
from src.data.dataset import Arrays
from src.data.digits import Digits
from src.networks.classifier import Classifier
from src.tools.classifier_training import measure_accuracy, save, train_extractor


class LargeDigits(Digits):
    """The 8 x 8 digits, each pixel a square of three, with a border: 28 x 28."""

    def split(self, name: str) -> Arrays:
        split = super().split(name)
        x = np.pad(split["x"].repeat(3, 2).repeat(3, 3), ((0, 0), (0, 0), (2, 2), (2, 2)))
        return Arrays(x=x, y=split["y"])


@pytest.fixture(scope="module")
def trained() -> tuple[Classifier, float]:
    return train_extractor(LargeDigits(), epochs=2, batch_size=64)


def test_it_learns(trained: tuple[Classifier, float]) -> None:
    model, accuracy = trained
    assert accuracy > 0.8
    assert not model.training
    assert accuracy == measure_accuracy(model, LargeDigits())


def test_less_than_a_batch_is_refused() -> None:
    with pytest.raises(UserError, match=r"data=digits: \d+ training images are fewer than a batch of 2000: add images"):
        train_extractor(LargeDigits(), batch_size=2000)


def test_same_seed_same_bytes(trained: tuple[Classifier, float], tmp_path: Path) -> None:
    torch.manual_seed(1)  # what came before does not matter
    before = torch.random.get_rng_state()
    again, _ = train_extractor(LargeDigits(), epochs=2, batch_size=64)
    assert torch.equal(torch.random.get_rng_state(), before), "nor does it change what comes after"
    assert save(again, tmp_path / "again.safetensors") == save(trained[0], tmp_path / "first.safetensors")


def test_other_seed_other_weights(trained: tuple[Classifier, float], tmp_path: Path) -> None:
    other, _ = train_extractor(LargeDigits(), seed=1, epochs=0)
    assert save(other, tmp_path / "other.safetensors") != save(trained[0], tmp_path / "first.safetensors")


def test_saved_weights_load_again(trained: tuple[Classifier, float], tmp_path: Path) -> None:
    digest = save(trained[0], tmp_path / "new" / "weights.safetensors")
    content = (tmp_path / "new" / "weights.safetensors").read_bytes()
    assert digest == hashlib.sha256(content).hexdigest()
    model = Classifier().eval()
    model.load_state_dict(load_file(tmp_path / "new" / "weights.safetensors"))
    x = torch.rand(3, 1, 28, 28)
    assert torch.allclose(model(x)[0], trained[0](x)[0], atol=1e-5)
