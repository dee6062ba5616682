"""A fingerprint changes where a recipe's behaviour does, and not where its text does."""

import json
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from src.config.identity import differences, short_hash
from src.evaluation import image_metrics
from src.models.gan.gan import GAN
from src.runs.folder import RunFolder
from src.tools.fingerprint import alike, changes, counts, fingerprint, recipes
from src.training.ema import EMA

BUDGET = {"stop.samples", "evaluation.samples", "model.lr_schedule.end"}  # of the compute curve: one behaviour
WORDS = "model=mlp_gan", "data=digits", "debug=tiny", "stop.samples=30000"


@pytest.fixture(scope="module")
def take(compose: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, Any]]:
    """The fingerprint of a tiny recipe on digits, with further words."""
    cache = tmp_path_factory.mktemp("cache")
    return lambda *words: json.loads(json.dumps(fingerprint(compose(*WORDS, *words), cache)))


@pytest.fixture(scope="module")
def before(take: Any) -> dict[str, Any]:
    return take()


def parts(old: dict[str, Any], new: dict[str, Any]) -> set[str]:
    """Which parts of two fingerprints differ."""
    return {
        change.partition(",")[0] if change.startswith(("training,", "evaluation,")) else "settings"
        for change in changes(old, new)
    }


def test_the_same_recipe_again_whatever_its_seed_and_places(take: Any, before: dict[str, Any]) -> None:
    assert changes(before, take("seed=3", "run_dir=elsewhere", "log.every=7", "logger=none")) == []


@pytest.mark.parametrize(
    "words",
    ["model.ema.half_life=777", "model.lr_schedule.end=25000", "model.penalties.r1.every=8"],
    ids=lambda word: word[6:9],
)
def test_a_setting_of_the_training_shows_in_what_it_does(take: Any, before: dict[str, Any], words: str) -> None:
    assert parts(before, take(words)) >= {"settings", "training"}


def test_another_average_shows_though_no_setting_differs(
    take: Any, before: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    update = EMA.update
    monkeypatch.setattr(EMA, "update", lambda self, network, samples, seen: update(self, network, 1.01 * samples, seen))
    assert parts(before, take()) == {"training", "evaluation"}


def test_another_kernel_distance_shows_in_the_evaluation_alone(
    take: Any, before: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    distance = image_metrics.kernel_distance
    monkeypatch.setattr(image_metrics, "kernel_distance", lambda *given, **named: (1.01 * distance(*given, **named)[0], 0.0))
    assert parts(before, take()) == {"evaluation"}
    assert all("kid" in change for change in changes(before, take()))


def test_a_class_of_another_name_in_another_file_is_the_same(
    take: Any, before: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = types.ModuleType("elsewhere")
    module.Adversarial = type("Adversarial", (GAN,), {"__module__": "elsewhere"})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "elsewhere", module)
    assert changes(before, take("model._target_=elsewhere.Adversarial")) == []


def test_rounding_is_no_change() -> None:
    assert alike(1.0, 1.0 + 1e-8)
    assert not alike(1.0, 1.0 + 1e-5)
    assert not alike(1e-8, 1.001e-8)
    assert alike(float("nan"), float("nan"))
    assert not alike(None, 1.0)
    assert not alike("a", "b")


def test_names_of_classes_do_not_count() -> None:
    assert not any(map(counts, ("seed", "name", "model._target_", "data.source._partial_")))
    assert counts("model.ema.half_life")


def test_every_result_is_what_its_stage_asks_for(compose: Any) -> None:
    """By its config; and there is a fingerprint of each recipe, whatever its budget is."""
    found = recipes()
    assert set(Path("results/fingerprints").iterdir()) == found.keys()
    assert sum(map(len, found.values())) == 183
    for stages in found.values():
        config = compose(*stages[0])
        for words in stages:
            (folder,) = (word.removeprefix("publish=") for word in words if word.startswith("publish="))
            published = RunFolder(Path(folder)).config()
            asked = compose(*words) if any(word.startswith("stop.samples=") for word in words) else config
            assert short_hash(published) == short_hash(asked), differences(published, asked)
            assert f"seed={published['seed']}" in words or len(stages) == 1
            assert {change.partition(":")[0] for change in differences(asked, config)} <= BUDGET
