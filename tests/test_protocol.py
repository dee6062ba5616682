import json
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from src import protocol as module
from src.data.dataset import Split
from src.data.digits import Digits
from src.metrics.extractors import load_extractor
from src.protocol import Protocol, evaluate, validation_distance

PROTOCOL = Protocol("digits")
DATA = Digits()


def validation(n: int) -> Tensor:
    """A perfect generator: real images that are neither in the training nor in the test split."""
    return torch.from_numpy(DATA.split("validation").x[:n].copy())


def memorised(n: int) -> Tensor:
    return torch.from_numpy(DATA.split("train").x[-n:].copy())


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
    for measured in (record["metrics"], *record["anchors"].values()):
        assert set(measured) == set(record["metrics"])
        assert all(key.endswith("_digits") for key in measured)


def test_anchors_hold_the_models_between_them(record: dict, cache: Path) -> None:
    real, ceiling, copied = (record["anchors"][name] for name in ("real", "noise", "training_copies"))
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
    monkeypatch.setattr(module, "_reference", lambda *_: pytest.fail("computed again"))
    assert evaluate(validation, DATA, PROTOCOL, cache) == record


class Shortened(Digits):
    """Another data set of the same name and file hashes."""

    def split(self, name: str) -> Split:
        x, y = super().split(name)
        return Split(x[:200], None if y is None else y[:200])


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
        return json.loads(str(stored["anchors"])) == record["anchors"]


def test_validation_distance(tmp_path: Path) -> None:
    extractor = load_extractor("digits")
    near = validation_distance(memorised, DATA, extractor, 300, tmp_path)
    assert validation_distance(validation, DATA, extractor, 300, tmp_path) == pytest.approx(0, abs=1e-2)
    assert 0 < near < validation_distance(noise, DATA, extractor, 300, tmp_path) / 10
    assert len(list(tmp_path.iterdir())) == 1
