"""The suite on pairs small enough to know the answers."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pair_data import SIDE, Filler, Rectangles, Translator
from torch import Tensor

from src.config.errors import Diverged, UserError
from src.data.spec import Batch, Spec
from src.data.unpaired import Unpaired
from src.evaluation.pair_protocol import Reference
from src.evaluation.suite import Main, plain_record
from src.evaluation.translation import TranslationSuite
from src.modalities.image import Image
from src.models.model import Model

KEY = "perceptual_digits"


@pytest.fixture(scope="module")
def rectangles() -> Rectangles:
    return Rectangles()


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def evaluate(data: Rectangles, model: Model, cache: Path, folder: Path, **settings: Any) -> dict[str, Any]:
    suite = TranslationSuite("digits", cache=cache, **settings)
    return plain_record(suite.evaluate(model, data, Image(data.spec), folder))


class Echo(Translator):
    """Gives its source back."""

    def sample(self, seeds: Any, cond: Batch | None = None, weights: str = "ema") -> Tensor:
        assert cond is not None
        return cond["source"].expand(-1, 3, -1, -1)


def test_a_perfect_translation(rectangles: Rectangles, cache: Path, tmp_path: Path) -> None:
    model = Translator(rectangles)
    record = evaluate(rectangles, model, cache, tmp_path)
    assert record["main"] == {"name": KEY, "better": "lower"}
    assert json.loads(json.dumps(record)) == record
    metrics = record["metrics"]
    assert (metrics[KEY], metrics["l1"], metrics["ssim"], metrics["edge_f1"]) == (0, 0, pytest.approx(1), 1)
    assert metrics["psnr"] == pytest.approx(58.92, abs=0.01)
    assert metrics["fd_digits"] == pytest.approx(0, abs=1e-2)
    assert "kid_digits" not in metrics, "too few pictures"
    assert model.seen == [3_000_000 + row for row in range(24)]
    assert record["columns"][0]["key"] == KEY
    assert {column["key"] for column in record["columns"]} == set(metrics)
    assert record["protocol"]["samples"] == 24
    assert record["protocol"]["paired"] == {"train": True, "test": True}


def test_controls_and_what_they_show(rectangles: Rectangles, cache: Path, tmp_path: Path) -> None:
    record = evaluate(rectangles, Translator(rectangles, error=10), cache, tmp_path)
    controls, metrics = record["controls"], record["metrics"]
    assert list(controls) == ["real", "copy", "mean_image", "nearest", "shuffled"] == list(record["control_names"])
    assert set(controls["real"]) == {"fd_digits", "copies_digits", "closeness_digits"}, "real pictures have no pair"
    assert metrics["l1"] == pytest.approx(10 / 255, abs=2e-3)
    assert all(controls[name]["l1"] > metrics["l1"] for name in ("copy", "mean_image", "nearest", "shuffled"))
    assert controls["copy"]["edge_f1"] == 1, "the drawing has the picture's edges"
    assert controls["nearest"][KEY] < controls["shuffled"][KEY]
    assert controls["nearest"]["copies_digits"] > 0.9 > metrics["copies_digits"], "they are training pictures"
    assert controls["nearest"]["closeness_digits"] == 0 < metrics["closeness_digits"]
    assert controls["shuffled"]["fd_digits"] == pytest.approx(0, abs=1e-2), "the same pictures, of other pairs"
    expected = np.abs(rectangles.split("test")["x"].astype(float) - rectangles.split("train")["x"].mean(0).round()).mean() / 255
    assert controls["mean_image"]["l1"] == pytest.approx(expected)
    again = evaluate(rectangles, Translator(rectangles, shift=1), cache, tmp_path)
    assert again["controls"] == controls, "from the cache"
    assert again["protocol"] == record["protocol"]
    assert again["metrics"][KEY] > metrics[KEY]


def test_pictures_for_people(rectangles: Rectangles, cache: Path, tmp_path: Path) -> None:
    from PIL import Image as Picture

    evaluate(rectangles, Translator(rectangles), cache, tmp_path, samples=5)
    with Picture.open(tmp_path / "pairs.png") as picture:
        cell = 4 * SIDE + 2
        assert picture.size == (2 + 3 * cell, 2 + 5 * cell)
        source, sample, target = (np.array(picture)[2:cell, 2 + i * cell : (i + 1) * cell] for i in range(3))
    assert np.array_equal(sample, target)
    assert sorted(set(source.ravel())) == [0, 255]
    assert (tmp_path / "neighbours.png").is_file()


def test_unpaired_training_data_have_no_nearest_pair(cache: Path, tmp_path: Path) -> None:
    data = Rectangles()

    train = data.split("train")
    data.splits["train"] = Unpaired(train["x"][:40], train["source"][20:])
    record = evaluate(data, Echo(data), cache, tmp_path)
    assert list(record["controls"]) == ["real", "copy", "mean_image", "shuffled"]
    assert record["protocol"]["paired"] == {"train": False, "test": True}
    assert record["protocol"]["training_pictures"] == 40


def test_unseen_data_without_pairs_are_compared_as_sets(rectangles: Rectangles, cache: Path, tmp_path: Path) -> None:
    suite = TranslationSuite("digits", cache=cache, validation_samples=8, paired=False)
    assert suite.main == Main("fd_digits", "lower")
    model = Translator(rectangles, shift=1)
    record = plain_record(suite.evaluate(model, rectangles, Image(rectangles.spec), tmp_path))
    assert set(record["metrics"]) == {"fd_digits", "copies_digits", "closeness_digits"}
    assert list(record["controls"]) == ["real", "copy", "mean_image"]
    assert record["metrics"]["fd_digits"] == pytest.approx(0, abs=1e-2)
    assert record["controls"]["real"]["fd_digits"] > 0.1
    assert suite.score(model, rectangles) == record["metrics"]["fd_digits"]
    assert suite.validate(Echo(rectangles), rectangles) > suite.validate(model, rectangles) > 0


def test_validation_draws_other_seeds_of_the_validation_split(rectangles: Rectangles) -> None:
    suite, model = TranslationSuite("digits", validation_samples=8), Translator(rectangles)
    assert suite.validate(model, rectangles) == 0
    assert len(model.seen) == 8
    assert set(model.seen) <= set(range(1_000_000, 1_000_020))
    worse = suite.validate(Translator(rectangles, shift=1), rectangles)
    assert worse > suite.validate(Translator(rectangles, error=10), rectangles) > 0


def test_the_score_is_the_main_metric(rectangles: Rectangles, cache: Path, tmp_path: Path) -> None:
    model = Translator(rectangles, shift=1)
    suite = TranslationSuite("digits")
    assert suite.main == Main(KEY, "lower")
    assert suite.score(model, rectangles) == evaluate(rectangles, model, cache, tmp_path)["metrics"][KEY]


def test_as_many_pairs_as_both_splits_have(rectangles: Rectangles) -> None:
    suite = TranslationSuite("digits")
    assert len(Reference(rectangles, suite.extractor, "test", 10).rows) == 10
    assert len(Reference(Rectangles(train=7), suite.extractor, "test", 10).rows) == 7
    with pytest.raises(UserError, match="the split test has fewer than two pairs"):
        Reference(Rectangles(test=1), suite.extractor, "test", 10)


@pytest.mark.parametrize(
    ("settings", "spec", "message"),
    [
        ({}, Spec.of("tokens", (16,)), "measures pictures, not tokens: take another evaluation="),
        ({}, Spec.of("image", (1, 28, 28)), "these data have no such source: take data=emoji_pairs"),
        ({}, Spec.of("image", (1, 8, 8)), "at least 11 x 11 pixels, not 8 x 8"),
        ({"extractor": "points"}, Rectangles.spec, "evaluation.extractor=points has no perceptual distance: take one of"),
    ],
)
def test_data_that_cannot_be_measured_so(settings: dict[str, Any], spec: Spec, message: str) -> None:
    with pytest.raises(UserError, match=message):
        TranslationSuite(**settings).check(spec)


def test_models_that_cannot_be_measured_so(rectangles: Rectangles) -> None:
    suite = TranslationSuite("digits")
    suite.check_model(Translator(rectangles))
    with pytest.raises(UserError, match="Filler makes its own source"):
        suite.check_model(Filler(rectangles))
    with pytest.raises(UserError, match="Model reads none: take another evaluation="):
        suite.check_model(Model(rectangles.spec, 0))
    with pytest.raises(UserError, match=r"evaluation\.samples=1: must be at least 2"):
        TranslationSuite(samples=1)


def test_samples_that_are_no_numbers(rectangles: Rectangles, tmp_path: Path) -> None:
    model = Translator(rectangles)
    model.sample = lambda seeds, cond: torch.full((len(seeds), 3, SIDE, SIDE), float("nan"))  # type: ignore[method-assign]
    with pytest.raises(Diverged, match="the samples contain NaN"):
        TranslationSuite("digits").validate(model, rectangles)
