import hashlib
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from src.data.dataset import Split
from src.data.digits import Digits
from src.data.mnist import MNIST, FashionMNIST
from src.errors import UserError
from src.metrics import extractors
from src.metrics.extractors import CLASSIFIERS, WEIGHTS, Extractor, load_extractor

TRAINING_IMAGES = "train-images-idx3-ubyte"


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_committed_weights_are_the_pinned_ones(name: str) -> None:
    path = WEIGHTS / f"{name}.safetensors"
    assert hashlib.sha256(path.read_bytes()).hexdigest() == CLASSIFIERS[name].sha256
    assert path.stat().st_size < 2_000_000
    assert load_extractor(name).name == name
    assert CLASSIFIERS[name].data_sha256 == {"digits": MNIST, "fashion": FashionMNIST}[name].files[TRAINING_IMAGES]


def test_digits_classifier_is_right_on_99_percent(digits: Extractor, test_images: Tensor, test_split: Split) -> None:
    right = (digits(test_images).logits.argmax(dim=1).numpy() == test_split.y).mean()
    assert right >= 0.99
    assert right == pytest.approx(CLASSIFIERS["digits"].accuracy, abs=5e-4)


def test_fashion_classifier_has_the_stated_accuracy(fashion_mnist: FashionMNIST) -> None:
    test = fashion_mnist.split("test")
    found = load_extractor("fashion")(torch.from_numpy(np.array(test.x))).logits.argmax(dim=1).numpy()
    assert (found == test.y).mean() == pytest.approx(CLASSIFIERS["fashion"].accuracy, abs=5e-4)


def test_every_feature_is_alive(test_features: Tensor) -> None:
    assert test_features.shape == (10_000, 128)
    assert (test_features >= 0).all()
    assert (test_features.std(dim=0) > 0.1).all()


def test_damaged_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = bytearray((WEIGHTS / "digits.safetensors").read_bytes())
    content[-1] ^= 1
    (tmp_path / "digits.safetensors").write_bytes(content)
    monkeypatch.setattr(extractors, "WEIGHTS", tmp_path)
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
    with pytest.raises(UserError, match="holds no Inception weights"):
        load_extractor("inception-v3-compat", tmp_path / "junk")


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
    x, y = Digits().split("test")
    assert (digits(torch.from_numpy(x.copy())).logits.argmax(dim=1).numpy() == y).mean() > 0.9


def test_batches_do_not_show(digits: Extractor, test_images: Tensor) -> None:
    assert torch.allclose(digits(test_images[:501]).features[500], digits(test_images[500:501]).features[0], atol=1e-4)


@pytest.fixture(scope="module")
def he_inception(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of the Inception network; default initialisation would give features near 1e-8."""

    class Untrained(FeatureExtractorInceptionV3):
        def load_state_dict(self, *_: object, **__: object) -> None:
            generator = torch.Generator().manual_seed(0)
            for layer in self.modules():
                if isinstance(layer, nn.Conv2d | nn.Linear):
                    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)

    folder = tmp_path_factory.mktemp("inception")
    torch.save({}, folder / "empty.pth")
    module = Untrained("inception-v3-compat", ["2048"], feature_extractor_weights_path=str(folder / "empty.pth"))
    torch.save(module.state_dict(), folder / "he.pth")
    return folder / "he.pth"


def test_inception_with_weights_from_a_path(he_inception: Path, test_images: Tensor) -> None:
    loaded = load_extractor("inception-v3-compat", he_inception)
    digest = hashlib.sha256(he_inception.read_bytes()).hexdigest()
    assert loaded.weights_sha256 == digest
    assert loaded.key("fd") == f"fd_inception-v3-compat-{digest[:8]}", "only the official weights make a FID"
    assert loaded.key("is") == f"is_inception-v3-compat-{digest[:8]}"
    features, logits = loaded(test_images[:8])
    assert features.shape == (8, 2048)
    assert logits.shape == (8, 1008)
    assert features.std() > 1e-3


def test_official_inception_weights_make_a_fid(he_inception: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extractors, "INCEPTION_SHA256", hashlib.sha256(he_inception.read_bytes()).hexdigest())
    loaded = load_extractor("inception-v3-compat", he_inception)
    assert [loaded.key(name) for name in ("fd", "is", "kid")] == ["fid", "is", "kid"]
    assert loaded.key("precision") == "precision_inception-v3-compat"


def test_inception_download_that_fails_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extractors, "URL_INCEPTION_V3", (tmp_path / "nowhere.pth").as_uri())
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(UserError, match="put it at"):
        load_extractor("inception-v3-compat")


def test_inception_file_cannot_run_code(tmp_path: Path) -> None:
    class Malicious:
        def __reduce__(self) -> tuple:
            return (tmp_path / "ran").touch, ()

    (tmp_path / "weights.pth").write_bytes(pickle.dumps(Malicious(), protocol=2))
    torch.save({"x": Malicious()}, tmp_path / "zipped.pth")
    for name in ("weights.pth", "zipped.pth"):
        with pytest.raises(UserError, match="holds no Inception weights"):
            load_extractor("inception-v3-compat", tmp_path / name)
    assert not (tmp_path / "ran").exists()
