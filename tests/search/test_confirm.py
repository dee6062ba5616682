"""Which runs on fresh seeds there are already, without training any."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from src.config.errors import UserError
from src.config.experiment import Experiment
from src.runs.folder import RunFolder
from src.search.confirm import confirm, confirmed, words_of
from src.sweep import compose
from src.system.files import write_json

BASE = ["model=mlp_gan", "data=digits"]
RECIPES = {"base": BASE, "trial_0": [*BASE, "model.g_optimizer.lr=0.001", "name=mlp_gan_trial_0"]}


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The runs that were trained, by a function in place of a training; those of seed 3 fail."""
    runs = []

    def train(folder: Path, words: Sequence[str], stop: Any) -> str | None:
        config = compose(words)
        runs.append(f"{config['name']} {config['seed']}")
        if config["seed"] == 3:
            return "no space left"
        with RunFolder(folder) as run:
            run.write_config(config)
            run.update_manifest(ended={"reason": "samples"})
            write_json(run.path / "metrics.json", {"main": {"name": "nats"}, "metrics": {"nats": 1.0}})
        return None

    monkeypatch.setattr("src.search.confirm.train", train)
    return runs


def test_what_is_done_is_not_done_again(trained: list[str], tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert confirmed([*RECIPES.values()], tmp_path, compose) == []
    confirm(RECIPES, [1], tmp_path, 1, compose)
    confirm(RECIPES, [1, 2], tmp_path, 1, compose)
    assert trained == [f"{name} {seed}" for seed in (1, 2) for name in ("mlp_gan", "mlp_gan_trial_0")]
    assert "trial_0  seed 2  nats 1" in capsys.readouterr().out
    found = confirmed([*RECIPES.values()], tmp_path, compose)
    assert len(found) == 4
    assert found[0] == Experiment(compose(words_of(BASE, tmp_path, 1))).path


def test_another_winner_of_the_same_number_is_trained(trained: list[str], tmp_path: Path) -> None:
    """The earlier winner's run is no verdict on this one, the base's is."""
    confirm(RECIPES, [1], tmp_path, 1, compose)
    other = RECIPES | {"trial_0": [*BASE, "model.g_optimizer.lr=0.004", "name=mlp_gan_trial_0"]}
    assert confirmed([*other.values()], tmp_path, compose) == []
    confirm(other, [1], tmp_path, 1, compose)
    assert trained == ["mlp_gan 1", "mlp_gan_trial_0 1", "mlp_gan_trial_0 1"]


def test_a_run_that_fails_is_named(trained: list[str], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"2 runs on fresh seeds failed, repeat the command: .*/3: no space left"):
        confirm(RECIPES, [3], tmp_path, 1, compose)
