import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from src.config.errors import UserError
from src.data.dataset import Arrays
from src.data.digits import Digits
from src.data.mnist import MNIST, FashionMNIST
from src.evaluation.extractors import classifiers
from src.evaluation.extractors.classifiers import CLASSIFIERS, WEIGHTS
from src.evaluation.extractors.extractor import NAMES, Extractor, load_extractor

TRAINING_IMAGES = "train-images-idx3-ubyte"


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_committed_weights_are_the_pinned_ones(name: str) -> None:
    path = WEIGHTS / f"{name}.safetensors"
    assert hashlib.sha256(path.read_bytes()).hexdigest() == CLASSIFIERS[name].sha256
    assert path.stat().st_size < 2_000_000
    assert load_extractor(name).name == name
    assert CLASSIFIERS[name].data_sha256 == {"digits": MNIST, "fashion": FashionMNIST}[name].files[TRAINING_IMAGES]


def test_digits_classifier_is_right_on_99_percent(digits: Extractor, test_images: Tensor, test_split: Arrays) -> None:
    right = (digits(test_images).logits.argmax(dim=1).numpy() == test_split["y"]).mean()
    assert right >= 0.99
    assert right == pytest.approx(CLASSIFIERS["digits"].accuracy, abs=5e-4)


def test_fashion_classifier_has_the_stated_accuracy(fashion_mnist: FashionMNIST) -> None:
    test = fashion_mnist.split("test")
    found = load_extractor("fashion")(torch.from_numpy(np.array(test["x"]))).logits.argmax(dim=1).numpy()
    assert (found == test["y"]).mean() == pytest.approx(CLASSIFIERS["fashion"].accuracy, abs=5e-4)


def test_every_feature_is_alive(test_features: Tensor) -> None:
    assert test_features.shape == (10_000, 128)
    assert (test_features >= 0).all()
    assert (test_features.std(dim=0) > 0.1).all()


def test_damaged_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = bytearray((WEIGHTS / "digits.safetensors").read_bytes())
    content[-1] ^= 1
    (tmp_path / "digits.safetensors").write_bytes(content)
    monkeypatch.setattr(classifiers, "WEIGHTS", tmp_path)
    with pytest.raises(UserError, match="damaged"):
        load_extractor("digits")
    with pytest.raises(UserError, match="no weights at"):
        load_extractor("fashion")


def test_other_weights_give_another_name(tmp_path: Path) -> None:
    other = shutil.copy(WEIGHTS / "fashion.safetensors", tmp_path / "mine.safetensors")
    loaded = load_extractor("digits", other)
    assert loaded.name == f"digits-{CLASSIFIERS['fashion'].sha256[:8]}"
    assert loaded.key("fd") == f"fd_{loaded.name}"
    assert load_extractor("digits", WEIGHTS / "digits.safetensors").key("fd") == "fd_digits"


def test_wrong_name_and_wrong_files_are_user_errors(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="did you mean digits"):
        load_extractor("digit")
    (tmp_path / "junk").write_bytes(b"junk")
    with pytest.raises(UserError, match="holds no weights"):
        load_extractor("digits", tmp_path / "junk")
    for name in NAMES[3:-1]:
        with pytest.raises(UserError, match=r"holds no .* weights: give"):
            load_extractor(name, tmp_path / "junk")
        with pytest.raises(UserError, match="no weights at"):
            load_extractor(name, tmp_path / "nothing")


def test_names_to_choose_from() -> None:
    assert " ".join(NAMES) == (
        "digits fashion stacked_digits inception-v3-compat efficientnet-lite0 clip-vit-b-32 dinov2-vit-b-14 points"
    )


def test_any_size_and_colour(digits: Extractor, test_images: Tensor) -> None:
    grey = test_images[:50]
    labels = digits(grey).logits.argmax(dim=1)
    colour = digits(grey.expand(-1, 3, -1, -1)).features
    assert torch.allclose(colour, digits(grey).features, atol=1e-3)
    large = grey.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    assert (digits(large).logits.argmax(dim=1) == labels).float().mean() > 0.95
    with pytest.raises(UserError, match="1 or 3 channels"):
        digits(torch.zeros(2, 2, 28, 28, dtype=torch.uint8))


def test_digits_of_8_by_8_are_recognised(digits: Extractor) -> None:
    split = Digits().split("test")
    x, y = split["x"], split["y"]
    assert (digits(torch.from_numpy(x.copy())).logits.argmax(dim=1).numpy() == y).mean() > 0.9


def test_batches_do_not_show(digits: Extractor, test_images: Tensor) -> None:
    assert torch.allclose(digits(test_images[:501]).features[500], digits(test_images[500:501]).features[0], atol=1e-4)
