"""Trials whose training is a function of the test's."""

import json
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from optuna.study import Study
from optuna.trial import TrialState

from src.config.errors import UserError
from src.runs.folder import RunFolder
from src.search.jobs import INTERRUPTED, run_all
from src.search.space import read_space
from src.search.study import numbered_trials
from src.search.trials import Trials
from src.system.signals import NotedSignals

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")

# Folder, words, what watches -> why there is no result.
Training = Callable[[RunFolder, Sequence[str], Callable[[], bool]], str | None]


@pytest.fixture
def trials(
    open_sweep: Callable[..., Study], space: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Trials]:
    """trials(training, count=3, pruner="median"): a further command's."""

    def made(training: Training, count: int = 3, **changes: Any) -> Trials:
        def train(folder: Path, words: Sequence[str], stop: NotedSignals, watch: Callable[[], bool]) -> str | None:
            with RunFolder(folder) as run:
                return training(run, words, watch)

        monkeypatch.setattr("src.search.trials.train", train)
        return Trials(open_sweep(tmp_path, **changes), tmp_path, read_space(space), ["model=mlp_gan"], count)

    return made


def validate(run: RunFolder, scores: Sequence[float], budget: int | None = 100) -> None:
    """Write the record of a training that has validated at 10, 20 ... samples."""
    (run.path / "config.yaml").write_text(json.dumps({"stop": {"samples": budget}}))
    lines = [{"step": n, "samples_seen": 10 * n, "validation/any": score} for n, score in enumerate(scores, start=1)]
    (run.path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def finish(run: RunFolder, words: Sequence[str], watch: Callable[[], bool]) -> None:
    validate(run, [3.0, 2.0])
    run.update_manifest(ended={"best": 2.0})
    run.checkpoint_path("step", 2).write_bytes(b"weights")


def test_a_trial_trains_in_its_folder_and_its_score_is_its_best_validation(
    trials: Callable[..., Trials], capsys: pytest.CaptureFixture, tmp_path: Path
) -> None:
    made = trials(finish)
    made.run(workers=2)
    found = numbered_trials(made.study)
    assert [trial.value for trial in found.values()] == [2.0] * 3
    assert [trial.intermediate_values for trial in found.values()] == [{10: 3.0, 20: 2.0}] * 3  # per cent of the budget
    assert [trial.user_attrs["samples"] for trial in found.values()] == [20] * 3
    assert not list(tmp_path.glob("*/checkpoints"))  # those of many trials would fill the disk
    assert "complete  2  best 2 (trial 0)  3 of 3  left 0:00:00" in capsys.readouterr().out
    made.run(workers=2)  # nothing is left
    assert len(made.study.trials) == 3


def test_interrupted_trials_go_on_in_their_folders(trials: Callable[..., Trials], tmp_path: Path) -> None:
    both = threading.Barrier(2)
    said: dict[Path, list[Sequence[str]]] = {tmp_path / "0000": [], tmp_path / "0001": []}

    def interrupted(run: RunFolder, words: Sequence[str], watch: Callable[[], bool]) -> str:
        both.wait(60)
        said[run.path].append(words)
        validate(run, [3.0])
        watch()
        return INTERRUPTED

    def going_on(run: RunFolder, words: Sequence[str], watch: Callable[[], bool]) -> None:
        said[run.path].append(words)
        finish(run, words, watch)

    run_all([trials(interrupted, 2).run_one] * 2, workers=2)
    made = trials(going_on, 2)
    assert [trial.state.name for trial in numbered_trials(made.study).values()] == ["WAITING", "WAITING"]
    assert [trial.user_attrs["samples"] for trial in numbered_trials(made.study).values()] == [10, 10]  # what it has cost
    made.run(workers=2)
    for number, words in enumerate(said.values()):
        assert len(words) == 2
        assert words[0] == words[1]
        assert numbered_trials(made.study)[number].value == 2.0
        assert numbered_trials(made.study)[number].user_attrs["reason"] == ""


def test_a_record_that_an_earlier_training_left_is_not_reported(trials: Callable[..., Trials], tmp_path: Path) -> None:
    """It may be of other code: the training begins anew then, and the study must not know its values."""

    def fails(run: RunFolder, words: Sequence[str], watch: Callable[[], bool]) -> str:
        assert watch()
        return "RuntimeError: no such luck"

    with RunFolder(tmp_path / "0000") as run:
        validate(run, [1.0])
    made = trials(fails, 1)
    made.run(workers=1)
    (trial,) = made.study.trials
    assert (trial.state, trial.intermediate_values) == (TrialState.FAIL, {})
    assert trial.user_attrs["reason"] == "RuntimeError: no such luck"


@pytest.mark.parametrize("better", ["lower", "higher"])
def test_a_poor_trial_is_stopped(better: str, trials: Callable[..., Trials]) -> None:
    scores = iter(
        [[1.0, 1.0, 1.0], [2.0, 2.0, 2.0], [3.0, 3.0, 3.0]] if better == "lower" else [[3.0] * 3, [2.0] * 3, [1.0] * 3]
    )

    def training(run: RunFolder, words: Sequence[str], watch: Callable[[], bool]) -> str | None:
        found = next(scores)
        validate(run, found)
        if not watch():
            return "exit code 143"
        run.update_manifest(ended={"best": found[0]})
        return None

    made = trials(training, pruner="median", prune_from=20, startup=1, better=better)
    made.run(workers=1)
    assert [trial.state.name for trial in made.study.trials] == ["COMPLETE", "PRUNED", "PRUNED"]
    assert list(made.study.trials[1].intermediate_values) == [10, 20]  # not before prune_from, nor after it


def test_without_a_budget_of_samples_nothing_is_stopped(trials: Callable[..., Trials]) -> None:
    def training(run: RunFolder, words: Sequence[str], watch: Callable[[], bool]) -> None:
        validate(run, [1.0, 2.0], budget=None)
        assert watch()
        run.update_manifest(ended={"best": 1.0})

    made = trials(training, count=1)
    made.run(workers=1)
    assert made.study.trials[0].intermediate_values == {10: 1.0, 20: 2.0}


def test_where_everything_fails_it_does_not_go_on_for_ever(trials: Callable[..., Trials]) -> None:
    with pytest.raises(UserError, match="5 trials in a row failed: no space left"):
        trials(lambda *_: "no space left", count=100).run(workers=1)
    diverged = trials(lambda *_: "diverged: the loss is nan", count=11)
    diverged.run(workers=1)  # which is the parameters' fault
    assert len(diverged.study.trials) == 11


def test_a_score_is_finite(trials: Callable[..., Trials]) -> None:
    def training(run: RunFolder, words: Sequence[str], watch: Callable[[], bool]) -> None:
        run.update_manifest(ended={"best": None})

    made = trials(training, count=1)
    made.run(workers=1)
    assert made.study.trials[0].user_attrs["reason"] == "its validation score is None"
