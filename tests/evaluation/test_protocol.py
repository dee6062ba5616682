import json
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from src.data.dataset import Arrays
from src.data.digits import Digits
from src.data.gaussians import CENTRES, Gaussians
from src.data.mnist import MNIST
from src.data.spec import Spec
from src.data.stacked_mnist import StackedMNIST
from src.evaluation import protocol as module
from src.evaluation.extractors.extractor import load_extractor
from src.evaluation.image_metrics import left_out
from src.evaluation.protocol import Protocol, evaluate, validation_distance

PROTOCOL = Protocol("digits")
DATA = Digits()


def validation(n: int) -> Tensor:
    """A perfect generator: real images that are neither in the training nor in the test split."""
    return torch.from_numpy(DATA.split("validation")["x"][:n].copy())


def memorised(n: int) -> Tensor:
    return torch.from_numpy(DATA.split("train")["x"][-n:].copy())


def noise(n: int) -> Tensor:
    return torch.randint(256, (n, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def record(cache: Path) -> dict:
    return evaluate(validation, DATA, PROTOCOL, cache)


def test_record_is_plain_and_says_how_it_was_measured(record: dict) -> None:
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert record["protocol"]["samples"] == 300, "no more than the test split has"
    assert record["protocol"]["samples_asked"] == 10_000
    assert record["protocol"]["data_sha256"] == DATA.hashes()
    assert len(record["protocol"]["weights_sha256"]) == 64
    for measured in (record["metrics"], *record["controls"].values()):
        assert set(measured) == set(record["metrics"])
        assert all(key.endswith("_digits") for key in measured)


def test_controls_hold_the_models_between_them(record: dict, cache: Path) -> None:
    real, ceiling, copied = (record["controls"][name] for name in ("real", "noise", "training_copies"))
    assert record["metrics"]["fd_digits"] < 3 * real["fd_digits"]
    assert ceiling["fd_digits"] > 10 * real["fd_digits"]
    assert ceiling["precision_digits"] < 0.3 < 0.7 < real["precision_digits"]
    assert ceiling["coverage_digits"] < 0.1 < 0.8 < real["coverage_digits"]
    assert min(real["class_shares_digits"]) == real["class_min_share_digits"] > 0.03
    assert evaluate(noise, DATA, PROTOCOL, cache)["metrics"]["fd_digits"] > 10 * real["fd_digits"]

    assert copied["fd_digits"] < 3 * real["fd_digits"], "by distance copies are as good as real"
    assert copied["copies_digits"] == 1
    assert real["copies_digits"] < 0.15
    assert record["metrics"]["copies_digits"] == real["copies_digits"], "this generator draws from the same split"
    assert evaluate(memorised, DATA, PROTOCOL, cache)["metrics"]["copies_digits"] == 1


def test_second_time_comes_from_the_cache_and_is_the_same(record: dict, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "real_reference", lambda *_: pytest.fail("computed again"))
    assert evaluate(validation, DATA, PROTOCOL, cache) == record


class Shortened(Digits):
    """Another data set of the same name and file hashes."""

    def split(self, name: str) -> Arrays:
        split = super().split(name)
        return Arrays(x=split["x"][:200], y=split["y"][:200])


def test_cache_is_keyed_by_data_weights_and_protocol(record: dict, cache: Path) -> None:
    def files() -> int:
        return len(list(cache.glob("*.npz")))

    before = files()
    others = (
        (Shortened(), PROTOCOL),
        (DATA, replace(PROTOCOL, extractor="fashion")),
        (DATA, replace(PROTOCOL, samples=100)),
        (DATA, replace(PROTOCOL, seed=1)),
        (DATA, replace(PROTOCOL, split="validation")),
    )
    for more, (data, other) in enumerate(others, start=1):
        assert evaluate(validation, data, other, cache)["metrics"] != record["metrics"]
        assert files() == before + more
    assert not list(cache.glob("*.partial"))


def test_metrics_that_need_more_images_are_left_out(cache: Path) -> None:
    found = evaluate(validation, DATA, replace(PROTOCOL, samples=40), cache)
    for measured in (found["metrics"], *found["controls"].values()):
        assert {"fd_digits", "precision_digits", "recall_digits", "copies_digits"} < measured.keys()
        assert not {f"{name}_digits" for name in ("kid", "kid_std", "is", "is_std", "density", "coverage")} & measured.keys()
    assert {column["key"] for column in found["columns"]} <= found["metrics"].keys()
    assert left_out(40) == "kid (needs 100), is (needs 100), density (needs 50), coverage (needs 50)"
    assert left_out(100) == ""


def test_against_the_training_split(cache: Path) -> None:
    """As many papers measure: the floor is then that of the test images, and memorised ones still show."""
    found = evaluate(memorised, DATA, replace(PROTOCOL, split="train", samples=400), cache)
    assert found["protocol"]["samples"] == 400 > len(DATA.split("test"))
    controls = found["controls"]
    assert found["metrics"]["fd_digits"] < controls["real"]["fd_digits"] < controls["noise"]["fd_digits"]
    assert found["metrics"]["copies_digits"] == 1
    test = torch.from_numpy(DATA.split("test")["x"].copy())
    held_out = evaluate(lambda n: test[:n], DATA, replace(PROTOCOL, split="train", samples=len(test)), cache)
    assert 0 < held_out["metrics"]["copies_digits"] == controls["real"]["copies_digits"] < 0.2


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "other"])
def test_damaged_cache_is_computed_again(
    damage: str, record: dict, tmp_path: Path, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (path,) = [path for path in cache.glob("*.npz") if _is_of(path, record)]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    harmed = {"flip": content, "cut": path.read_bytes()[:5000], "empty": b"", "other": b"not an archive"}[damage]
    (tmp_path / path.name).write_bytes(harmed)
    with caplog.at_level(logging.WARNING):
        assert evaluate(validation, DATA, PROTOCOL, tmp_path) == record
    assert "damaged" in caplog.text
    caplog.clear()
    evaluate(validation, DATA, PROTOCOL, tmp_path)
    assert not caplog.text


def _is_of(path: Path, record: dict) -> bool:
    with np.load(path, allow_pickle=False) as stored:
        return json.loads(str(stored["controls"])) == record["controls"]


def test_validation_distance(tmp_path: Path) -> None:
    extractor = load_extractor("digits")
    near = validation_distance(memorised, DATA, extractor, 300, tmp_path)
    assert validation_distance(validation, DATA, extractor, 300, tmp_path) == pytest.approx(0, abs=1e-2)
    assert 0 < near < validation_distance(noise, DATA, extractor, 300, tmp_path) / 10
    assert len(list(tmp_path.iterdir())) == 1


# Samples of known classes.


def labels_of(split: str, n: int) -> Tensor:
    return torch.from_numpy(DATA.split(split)["y"][:n].copy())


def test_labels_add_accuracy_and_change_nothing_else(record: dict, cache: Path) -> None:
    right = labels_of("validation", 300)
    asked = evaluate(validation, DATA, PROTOCOL, cache, right)
    assert json.loads(json.dumps(asked, allow_nan=False)) == asked
    assert asked["protocol"] == record["protocol"], "both stand in one table"
    for name in ("real", "noise", "training_copies"):
        without = {key: value for key, value in asked["controls"][name].items() if key != "accuracy_digits"}
        assert without == record["controls"][name]
    assert asked["metrics"] == record["metrics"] | {"accuracy_digits": asked["metrics"]["accuracy_digits"]}
    assert asked["metrics"]["accuracy_digits"] > 0.9
    assert asked["controls"]["real"]["accuracy_digits"] > 0.9
    assert asked["controls"]["training_copies"]["accuracy_digits"] > 0.9
    assert asked["controls"]["noise"]["accuracy_digits"] == pytest.approx(0.1, abs=0.07)
    confused = evaluate(validation, DATA, PROTOCOL, cache, (right + 1) % 10)
    assert confused["metrics"]["accuracy_digits"] < 0.05
    other = evaluate(validation, DATA, replace(PROTOCOL, extractor="fashion"), cache, right)
    assert not any("accuracy" in key for key in other["metrics"]), "clothes say nothing of digits"


class ThreeDigits:
    """250 images of each digit below 3: enough of each class for a distance, and not the classes of the extractor."""

    name = "three digits"

    def __init__(self, mnist: MNIST) -> None:
        self.mnist, self.spec = mnist, Spec.of("image", (1, 28, 28), ("0", "1", "2"))

    def hashes(self) -> dict[str, str]:
        return {}

    def split(self, name: str) -> Arrays:
        split = self.mnist.split("train" if name == "train" else "test")
        rows = np.concatenate([np.flatnonzero(split["y"] == digit)[:250] for digit in range(3)])
        return Arrays(**split.batch(rows))


def test_distance_of_each_class(mnist: MNIST, tmp_path: Path) -> None:
    data = ThreeDigits(mnist)
    x, y = (data.split("validation")[name] for name in "xy")
    labels = torch.from_numpy(y)
    swapped = torch.tensor([1, 0, 2])[labels]
    found = evaluate(lambda n: torch.from_numpy(x[:n].copy()), data, Protocol("digits"), tmp_path, labels)  # type: ignore[arg-type]
    assert found["protocol"]["samples"] == 750
    per_class = found["metrics"]["fd_per_class_digits"]
    assert per_class == pytest.approx([0, 0, 0], abs=1e-2), "the same images"
    assert found["metrics"]["fd_class_mean_digits"] == pytest.approx(sum(per_class) / 3)
    assert "accuracy_digits" not in found["metrics"]
    floor, noise = (found["controls"][name]["fd_per_class_digits"] for name in ("real", "noise"))
    assert all(0.5 < near < far / 5 for near, far in zip(floor, noise, strict=True))
    wrong = evaluate(lambda n: torch.from_numpy(x[:n].copy()), data, Protocol("digits"), tmp_path, swapped)  # type: ignore[arg-type]
    assert wrong["metrics"]["fd_digits"] == found["metrics"]["fd_digits"]
    zero, one, two = wrong["metrics"]["fd_per_class_digits"]
    assert min(zero, one) > 5 * max(floor)
    assert two == pytest.approx(0, abs=1e-2)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_bound_on_the_training_samples_is_named_and_shows_in_its_control(record: dict, cache: Path) -> None:
    bounded = evaluate(memorised, DATA, replace(PROTOCOL, training=300), cache)
    assert bounded["protocol"] == record["protocol"] | {"training_samples": 300}
    assert bounded["controls"]["training_copies"]["copies_digits"] == pytest.approx(300 / 1197, abs=0.12)
    assert bounded["controls"]["real"]["fd_digits"] == record["controls"]["real"]["fd_digits"]
    unbounded = evaluate(validation, DATA, replace(PROTOCOL, training=5000), cache)
    assert unbounded == record, "there are fewer"


# Other data than single digits.


def test_points(tmp_path: Path) -> None:
    data, protocol = Gaussians(), Protocol("points", samples=1000, training=2000)
    lost = evaluate(lambda n: torch.from_numpy(data.split("validation")["x"][:1].copy()).repeat(n, 1), data, protocol, tmp_path)
    assert lost["protocol"]["quantisation"] == "none"
    real, noise = lost["controls"]["real"], lost["controls"]["noise"]
    assert set(lost["metrics"]) == set(real)
    assert lost["metrics"]["modes_points"] == 1
    assert real["modes_points"] == 25
    assert real["high_quality_points"] == pytest.approx(0.989, abs=0.015)
    # 25 discs of radius 0.03 in a square of about 1.66.
    assert noise["high_quality_points"] == pytest.approx(25 * np.pi * 0.03**2 / 1.66**2, abs=0.015)
    assert real["fd_points"] < 0.01 < lost["metrics"]["fd_points"]
    assert json.loads(json.dumps(lost, allow_nan=False)) == lost
    labels = torch.zeros(1000, dtype=torch.int64)
    first = evaluate(lambda n: torch.from_numpy(CENTRES[:1]).float().repeat(n, 1), data, protocol, tmp_path, labels)
    assert first["metrics"]["accuracy_points"] == 1
    assert first["controls"]["real"]["accuracy_points"] > 0.99
    assert first["controls"]["noise"]["accuracy_points"] == pytest.approx(0.04, abs=0.02)


class FewStacked(StackedMNIST):
    def split(self, name: str) -> Arrays:
        split = super().split(name)
        return Arrays(x=split["x"][:600], y=split["y"][:600])


def test_stacked_digits(mnist: MNIST, tmp_path: Path) -> None:
    data, protocol = FewStacked(mnist.folder), Protocol("stacked_digits", training=300)
    collapsed = data.split("validation")["x"][:3]
    found = evaluate(lambda n: torch.from_numpy(collapsed).repeat(n // 3, 1, 1, 1), data, protocol, tmp_path)
    real = found["controls"]["real"]
    assert set(found["metrics"]) == set(real)
    assert not any("share" in key for key in real), "no list of 1,000"
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["metrics"]["modes_stacked_digits"] == 3
    assert real["modes_stacked_digits"] == pytest.approx(1000 * (1 - np.exp(-0.6)), abs=30)
    assert real["kl_stacked_digits"] < 2 < 4 < found["metrics"]["kl_stacked_digits"]


def test_an_extractor_that_has_no_time_for_all_training_images() -> None:
    class Slow:
        training_images = 1000

    assert module._training_limit(DATA, PROTOCOL, Slow()) == 1000  # type: ignore[arg-type]
    assert module._training_limit(DATA, replace(PROTOCOL, training=50), Slow()) == 50  # type: ignore[arg-type]
    assert module._training_limit(DATA, PROTOCOL, load_extractor("digits")) is None
