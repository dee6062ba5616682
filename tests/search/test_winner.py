"""Runs on fresh seeds, without training any: of which recipes, and which of them there are already."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest

from src.config.errors import UserError
from src.runs.folder import RunFolder
from src.search.space import read_space
from src.search.trials import Trials
from src.search.winner import confirm, confirmed
from src.system.files import write_json

SHARED = ["model=mlp_gan", "data=digits"]
BASE = {"name": "mlp_gan", "seed": 0}
SPACE = read_space({"model.g_optimizer.lr": {"type": "float", "low": 1e-4, "high": 1e-2}})
pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


def search(folder: Path, *rates: float) -> Trials:
    """Complete trials with these rates, of which the highest is the best."""
    study = optuna.create_study(study_name="small")
    for rate in rates:
        params = {"model.g_optimizer.lr": rate}
        study.add_trial(optuna.trial.create_trial(value=-rate, params=params, distributions=SPACE))
    return Trials(study, folder, SPACE, SHARED, len(rates))


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Words of the runs that were trained, by a function in place of a training; those of seed 3 fail."""
    runs: list[list[str]] = []

    def train(folder: Path, words: Sequence[str], stop: Any) -> str | None:
        runs.append([word for word in words if word.startswith(("model.", "name=", "seed="))])
        if "seed=3" in words:
            return "no space left"
        with RunFolder(folder) as run:
            run.update_manifest(ended={"reason": "samples"})
            write_json(run.path / "metrics.json", {"main": {"name": "nats"}, "metrics": {"nats": 1.0}})
        return None

    monkeypatch.setattr("src.search.winner.train", train)
    return runs


def test_winner_and_base_are_trained_on_fresh_seeds_once(
    trained: list[list[str]], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    trials = search(tmp_path, 0.003, 0.004)
    assert confirmed(trials, BASE) == []
    confirm(trials, BASE, 1, workers=1)
    confirm(trials, BASE, 2, workers=1)
    wins = ["model.g_optimizer.lr=0.004", "name=mlp_gan_trial_1"]
    assert trained == [["seed=1"], [*wins, "seed=1"], ["seed=2"], [*wins, "seed=2"]]
    said = capsys.readouterr().out
    assert "the best is trial 1, with a validation score of -0.004 on one seed" in said
    assert "trial_1  seed 2  nats 1" in said
    assert len(confirmed(trials, BASE)) == 4

    # The run of an earlier winner with the same number is no verdict on another one, that of the base is.
    other = search(tmp_path, 0.003, 0.005)
    assert confirmed(other, BASE) == []
    confirm(other, BASE, 1, workers=1)
    assert trained[4:] == [["model.g_optimizer.lr=0.005", "name=mlp_gan_trial_1", "seed=1"]]


def test_a_run_that_fails_is_named(trained: list[list[str]], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"2 runs on fresh seeds failed, repeat the command: .*/3: no space left"):
        confirm(search(tmp_path, 0.003), BASE | {"seed": 2}, 1, workers=1)


def test_without_a_complete_trial_there_is_no_winner(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no trial of small is complete"):
        confirm(search(tmp_path), BASE, 1, workers=1)
