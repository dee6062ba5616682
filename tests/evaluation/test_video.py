"""On clips of Moving MNIST, few of them, and on small synthetic ones."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from clips import Squares

from src.config.errors import UserError
from src.data.mnist import MNIST
from src.data.moving_mnist import MovingMNIST
from src.data.spec import Spec
from src.evaluation import video_protocol
from src.evaluation.extractors.extractor import load_extractor
from src.evaluation.video import VideoSuite
from src.evaluation.video_protocol import Reference, frozen, shuffled

FD = "fd_clip-cnn-1"


class Copier:
    """A model whose samples are the first unseen clips."""

    ema, device = None, torch.device("cpu")

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def conditions(self, seeds: Any) -> dict[str, Any]:
        return {}

    def sample(self, seeds: Any, cond: Any = None, weights: str = "ema") -> torch.Tensor:
        rows = np.array(seeds) % 20
        return self.dataset.spec.x.to_model(torch.from_numpy(self.dataset.split("test").batch(rows)["x"]))


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video_protocol, "TRAINING_CLIPS", 80)


def test_controls_are_told_from_real_clips(mnist: MNIST, tmp_path: Path, few: None, capsys: Any) -> None:
    dataset = MovingMNIST(mnist.folder)
    reference = Reference(dataset, load_extractor("digits"), "test", 40, tmp_path)
    controls = reference.controls()
    real = controls["real"]
    for name in ("frozen", "shuffled"):
        assert controls[name][FD] > 1.5 * real[FD]
        assert controls[name]["trajectory"] > 2 * real["trajectory"]
        assert controls[name]["bounces"] < real["bounces"]
    assert controls["frozen"]["identity"] >= real["identity"]  # a cheat that this metric does not see
    assert controls["frozen"]["motion"] == 0
    assert controls["shuffled"]["fd_frame_digits"] < 2 * real["fd_frame_digits"]
    assert controls["reversed"]["trajectory"] == pytest.approx(real["trajectory"], rel=0.3)  # so are these clips
    assert controls["training_copies"]["copies"] == 1
    capsys.readouterr()
    assert Reference(dataset, load_extractor("digits"), "test", 40, tmp_path).controls() == controls
    assert capsys.readouterr().out == ""  # from the cache


def test_a_record(tmp_path: Path) -> None:
    dataset, suite = Squares(), VideoSuite(samples=50, validation_samples=20, cache=tmp_path)
    suite.check(dataset.spec)
    model: Any = Copier(dataset)
    record = suite.evaluate(model, dataset, None, tmp_path)
    assert record["main"] == {"name": FD, "better": "lower"}
    assert [column["key"] for column in record["columns"]] == [FD, "fd_frame_digits", "motion", "copies"]
    assert record["protocol"]["samples"] == 24  # the split has no more
    assert record["metrics"][FD] < record["controls"]["frozen"][FD]
    assert record["controls"].keys() == record["control_names"].keys()
    assert suite.validate(model, dataset) == suite.validate(model, dataset) > 0


def test_spoiled_clips() -> None:
    clips = np.arange(2 * 5).reshape(2, 5, 1, 1, 1)
    assert frozen(clips).reshape(2, 5).tolist() == [[0] * 5, [5] * 5]
    mixed = shuffled(clips, np.random.default_rng(0)).reshape(2, 5)
    assert (mixed != clips.reshape(2, 5)).any()
    assert (np.sort(mixed) == clips.reshape(2, 5)).all()


def test_what_is_refused() -> None:
    with pytest.raises(UserError, match="measures video, not image"):
        VideoSuite().check(Spec.of("image", (1, 8, 8)))
    with pytest.raises(UserError, match="cannot measure frames"):
        VideoSuite(None).check(Squares().spec)
    with pytest.raises(UserError, match="at least 2"):
        VideoSuite(samples=1)
    with pytest.raises(UserError, match="SimpleNamespace draws none"):
        VideoSuite().check_model(SimpleNamespace())  # type: ignore[arg-type]
