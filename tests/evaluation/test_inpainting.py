"""Filled holes: what is known is never measured as the model's."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pair_data import Filler, Rectangles, Translator

from src.config.errors import UserError
from src.evaluation.inpainting import InpaintingSuite
from src.evaluation.suite import plain_record
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
    return plain_record(InpaintingSuite("digits", cache=cache, **settings).evaluate(model, data, Image(data.spec), folder))


def test_pixels_of_the_hole_and_the_whole_picture(rectangles: Rectangles, cache: Path, tmp_path: Path) -> None:
    record = evaluate(rectangles, Filler(rectangles), cache, tmp_path)
    metrics, controls = record["metrics"], record["controls"]
    assert {"hole_psnr", "hole_l1", "ssim", "edge_f1", KEY, "fd_digits", "copies_digits"} <= set(metrics)
    x = rectangles.split("test")["x"].astype(float)
    errors = []
    for row, picture in enumerate(x):
        seed = 3_000_000 + row
        part = picture[:, seed % 10 : seed % 10 + 6, seed % 7 : seed % 7 + 6]
        errors.append(np.abs(part - 128).mean() / 255)  # 0 in the model's format is level 128
    assert metrics["hole_l1"] == pytest.approx(np.mean(errors))
    assert metrics["ssim"] > 0.5, "outside the hole the picture is the real one, whatever the model says there"
    assert list(controls) == ["real", "mean_fill", "diffusion_fill", "nearest_fill", "shuffled_fill"]
    assert all(controls[name][KEY] < metrics[KEY] for name in ("mean_fill", "diffusion_fill"))
    assert (tmp_path / "pairs.png").is_file()


def test_holes_are_part_of_the_protocol(rectangles: Rectangles, cache: Path, tmp_path: Path) -> None:
    first = evaluate(rectangles, Filler(rectangles), cache, tmp_path)
    again = evaluate(rectangles, Filler(rectangles, level=-1.0), cache, tmp_path)
    assert again["protocol"] == first["protocol"]
    assert again["controls"] == first["controls"]
    assert again["metrics"]["hole_l1"] != first["metrics"]["hole_l1"]
    moved = evaluate(rectangles, Filler(rectangles), cache, tmp_path, seed=1)
    assert moved["protocol"]["pictures_sha256"]["masks"] != first["protocol"]["pictures_sha256"]["masks"]


def test_validation_measures_composed_pictures(rectangles: Rectangles) -> None:
    suite = InpaintingSuite("digits", validation_samples=8)
    assert 0 < suite.validate(Filler(rectangles), rectangles) < suite.validate(Filler(rectangles, level=1.0), rectangles)


def test_models_that_fill_nothing(rectangles: Rectangles) -> None:
    with pytest.raises(UserError, match="Translator fills none: take model=inpainting or another evaluation="):
        InpaintingSuite("digits").check_model(Translator(rectangles))
    empty = Filler(rectangles)
    made = empty.conditions_from
    empty.conditions_from = lambda batch, seeds: made(batch, seeds) | {"mask": made(batch, seeds)["mask"] * 0}  # type: ignore
    with pytest.raises(UserError, match="a picture has no hole to measure"):
        InpaintingSuite("digits").validate(empty, rectangles)
