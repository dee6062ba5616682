from pathlib import Path

import numpy as np
import pytest
import torch

from src.data.mnist import MNIST
from src.data.moving_mnist import ROOM, Clips, MovingMNIST
from src.evaluation.extractors.clips import ClipFeatures
from src.networks.clip_encoder import KINDS
from src.tools.clip_training import (
    CHANGING,
    FROZEN,
    REAL,
    examples,
    motion,
    share_told,
    softened,
    train_clip_encoder,
)
from src.tools.encoder_training import save_encoder


@pytest.fixture(scope="module")
def clips(mnist: MNIST) -> Clips:
    return MovingMNIST(mnist.folder).split("train")


def test_spoiled_clips_and_their_answers(clips: Clips) -> None:
    x, answers = examples(clips, np.arange(60), np.random.default_rng(0))
    assert x.shape == (60, 16, 64, 64)
    assert set(answers.kinds.tolist()) == set(range(KINDS))
    assert 0.25 < (answers.kinds == REAL).float().mean() < 0.55
    assert answers.places.min() >= 0
    assert answers.places.max() <= ROOM
    real, frozen, changing = (int(torch.nonzero(answers.kinds == kind)[0]) for kind in (REAL, FROZEN, CHANGING))
    np.testing.assert_array_equal(x[real].numpy(), clips.batch(np.array([real]))["x"][0, :, 0])
    assert (x[frozen] == x[frozen][:1]).all()
    assert (answers.classes[changing, 0] != answers.classes[changing, -1]).any() or (x[changing, 0] != x[changing, -1]).any()
    described = motion(answers.places)
    assert (described[frozen] == 0).all()
    assert (described[real, 4:] > 0.2).all()  # speeds, of at most 1


def test_a_short_training(clips: Clips, tmp_path: Path) -> None:
    before = torch.random.get_rng_state()
    digests = [save_encoder(train_clip_encoder(clips, seed, 2, 3), tmp_path / "weights") for seed in (0, 0, 1)]
    assert digests[0] == digests[1] != digests[2]
    assert torch.equal(torch.random.get_rng_state(), before)
    features = ClipFeatures(tmp_path / "weights")
    assert features.name.startswith("clip-cnn-1-")  # not the pinned weights
    assert all(0 <= share <= 1 for share in share_told(features, clips, 4))


def test_softened_clips() -> None:
    x = torch.zeros(2, 1, 64, 64, dtype=torch.uint8)
    x[:, :, 30, 30] = 255
    found = softened(x, torch.tensor([True, False]), torch.tensor([0.5, 0.5]))
    assert found.min() == -1
    assert found[1].max() == 1
    assert found[0].max() == pytest.approx(255 / 9 / 2 / 127.5 - 1)
