import hashlib

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from src.config.errors import UserError
from src.data.dataset import SPLITS, Dataset
from src.data.loader import Blocks, Rows
from src.data.stacked_mnist import StackedMNIST, Triples
from src.evaluation.cache import digest


@pytest.fixture
def stacked(mnist):
    return StackedMNIST(mnist.folder)


@pytest.fixture
def triples():
    """Images whose pixels all have the number of the digit's row, so that every expected value is plain."""
    digits = np.broadcast_to(np.arange(10, dtype=np.uint8)[:, None, None, None], (10, 1, 28, 28))
    return Triples(digits, np.array([[1, 2, 3], [4, 4, 4], [9, 0, 5], [7, 8, 7]]))


def test_splits(stacked):
    dataset: Dataset = stacked
    dataset.prepare()
    for name, size in zip(SPLITS, (128_000, 5_000, 26_000), strict=True):
        split = dataset.split(name)
        x, y = split["x"], split["y"]
        assert len(x) == len(y) == size
        assert x.shape == (size, *dataset.spec.shape) == (size, 3, 28, 28)
        assert (x.dtype, y.dtype) == (np.uint8, np.int64)
        assert (y.min(), y.max()) == (0, 999)
    assert dataset.spec.classes[:2] == ("000", "001")
    assert dataset.spec.classes[427] == "427"
    assert len(dataset.spec.classes) == 1000


def test_the_label_is_the_three_digits_the_first_channel_first(stacked, mnist):
    """Found again from the pixels: every image of MNIST's validation split is one of a kind."""
    single = mnist.split("validation")
    label = {image.tobytes(): digit for image, digit in zip(single["x"], single["y"], strict=True)}
    split = stacked.split("validation")
    x, y = split["x"], split["y"]
    for image, number in zip(x[:500], y[:500], strict=True):
        assert f"{number:03d}" == "".join(str(label[channel.tobytes()]) for channel in image)


def test_each_split_is_made_of_its_own_digits(stacked, mnist):
    for name in SPLITS:
        x = stacked.split(name)["x"]
        assert x.digits.tobytes() == mnist.split(name)["x"].tobytes()
        assert (x.rows.min(), x.rows.max()) == (0, len(mnist.split(name)["x"]) - 1)


def test_all_modes_are_there_about_equally_often(stacked, mnist):
    y = stacked.split("train")["y"]
    counts = np.bincount(y, minlength=1000)
    shares = np.bincount(mnist.split("train")["y"]) / 55_000
    expected = 128_000 * np.einsum("a,b,c->abc", shares, shares, shares).ravel()
    chi_square = ((counts - expected) ** 2 / expected).sum()  # 999 degrees of freedom: standard deviation 44.7
    assert chi_square == pytest.approx(999, abs=5 * 44.7)
    assert counts.min() > 0


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        (1, [4, 4, 4]),
        (-1, [7, 8, 7]),
        (slice(2), [[1, 2, 3], [4, 4, 4]]),
        (slice(None, None, 3), [[1, 2, 3], [7, 8, 7]]),
        (np.array([2, 0]), [[9, 0, 5], [1, 2, 3]]),
        (np.array([[2], [0]]), [[[9, 0, 5]], [[1, 2, 3]]]),
        (np.array([False, True, False, False]), [[4, 4, 4]]),
    ],
)
def test_an_index_is_one_into_the_images(triples, index, expected):
    found = triples[index]
    assert type(found) is np.ndarray
    assert found.shape == (*np.shape(expected), 28, 28)
    np.testing.assert_array_equal(found, np.broadcast_to(np.array(expected)[..., None, None], found.shape))


def test_it_becomes_an_array_wherever_one_is_asked_for(triples):
    whole = triples[:]
    for array in (np.array(triples), np.asarray(triples), np.ascontiguousarray(triples), triples.copy()):
        np.testing.assert_array_equal(array, whole)
        assert array.dtype == np.uint8
        assert array.flags.writeable
    assert np.asarray(triples, dtype=np.float32).dtype == np.float32
    assert digest(triples) == digest(whole)
    assert torch.equal(torch.from_numpy(np.array(triples)), torch.from_numpy(whole))
    with pytest.raises(ValueError, match="nothing to share"):
        np.array(triples, copy=False)


@pytest.mark.parametrize("workers", [0, 2])
def test_the_loader_reads_it(stacked, workers):
    split = stacked.split("train")
    blocks = list(Blocks(samples=128_000, batch_size=8, seed=0, stop=4, size=2))
    loader = DataLoader(Rows(split), batch_size=None, sampler=blocks, num_workers=workers)
    for block, index in zip(loader, blocks, strict=True):
        assert block["x"].shape == (2, 8, 3, 28, 28)
        for name in ("x", "y"):
            np.testing.assert_array_equal(block[name].numpy(), split[name][index])


def test_hashes_are_of_the_files_and_of_the_triples(stacked, mnist):
    hashes = stacked.hashes()
    assert hashes.items() >= mnist.files.items()
    for name in SPLITS:
        assert hashes[f"{name} triples"] == hashlib.sha256(stacked.split(name)["x"].rows.tobytes()).hexdigest()
    assert len(hashes) == 7


def test_other_triples_are_refused(stacked):
    stacked.split("test")["x"].rows[0, 0] ^= 1
    with pytest.raises(UserError, match="NumPy"):
        stacked.prepare()


def test_without_mnist(tmp_path):
    with pytest.raises(UserError, match="no source has train-images-idx3-ubyte"):
        StackedMNIST(tmp_path, sources=[]).prepare()
