"""Who takes which trial, without training any."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState
from sweep_config import CONFIG, SPACE

from src.errors import UserError
from src.search.space import read_space
from src.search.study import open_study
from src.search.trials import SILENCE, Trials


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., Trials]:
    """command(machine=...): the trials as a further command sees them; each machine has a file system of its own."""

    def made(machine: str = "here", count: int = 3, refuse: str = "") -> Trials:
        def compose(words: Any) -> dict[str, Any]:
            if refuse:
                raise UserError(refuse)
            return {"stop": {"images": 640}}

        (folder := tmp_path / machine).mkdir(exist_ok=True)
        store = f"sqlite:///{tmp_path}/study.db"
        return Trials(
            open_study(CONFIG | {"store": store}, folder), folder, read_space(SPACE), ["model=mlp_gan"], count, compose
        )

    return made


def test_commands_take_different_trials_and_no_more_than_there_are(command: Callable[..., Trials]) -> None:
    first, second = command(), command()
    jobs = [first.next_job(), second.next_job(), first.next_job()]
    assert [job.trial.number for job in jobs if job] == [0, 1, 2]
    assert first.next_job() is second.next_job() is None
    assert first.waiting()
    for job in jobs:
        assert job is not None
        first.tell(job.trial, TrialState.COMPLETE, 1.0)
    assert first.next_job() is None
    assert not first.waiting()


def test_what_a_killed_command_had_is_taken_up_first(command: Callable[..., Trials]) -> None:
    job = command().next_job()
    assert job is not None
    other = command()
    assert (following := other.next_job()) is not None
    assert following.trial.number == 1  # the first is held
    job.close()
    assert (again := other.next_job()) is not None
    assert (again.trial.number, again.words) == (0, job.words)


def test_a_decision_to_stop_survives_the_command(command: Callable[..., Trials]) -> None:
    job = command().next_job()
    assert job is not None
    job.trial.report(3.0, 20)
    job.trial.set_user_attr("pruned", True)
    job.close()
    other = command(count=1)
    assert other.next_job() is None
    assert [trial.state for trial in other.study.trials] == [TrialState.PRUNED]


def test_a_trial_of_another_machine_is_begun_anew_when_it_is_silent(command: Callable[..., Trials]) -> None:
    away, here = command("away", count=1), command(count=1)
    job = away.next_job()
    assert job is not None
    assert here.next_job() is None  # it gives signs of life
    job.trial.set_user_attr("seen", time.time() - 2 * SILENCE)
    assert (again := here.next_job()) is not None
    assert again.trial.number == 1
    assert again.trial.params == job.trial.params
    lost, _ = here.study.trials
    assert lost.state == TrialState.FAIL
    assert "no sign of life" in lost.user_attrs["reason"]
    job._heartbeat = -1e9
    job.watch()  # it was not dead after all: too late, and no harm done
    assert here.study.trials[0].state == TrialState.FAIL
    assert here.next_job() is None


def test_a_point_that_does_not_compose_is_a_failed_trial(command: Callable[..., Trials]) -> None:
    trials = command(count=2, refuse="no such thing")
    assert trials.next_job() is None
    assert [trial.user_attrs["reason"] for trial in trials.study.trials] == ["no such thing"] * 2


def test_where_everything_fails_it_does_not_go_on_for_ever(command: Callable[..., Trials]) -> None:
    with pytest.raises(UserError, match="the first 5 trials all failed: no such thing"):
        command(count=100, refuse="no such thing").next_job()
    assert len(command().study.trials) == 5


def test_folders_of_a_study_that_is_no_more_are_set_aside(command: Callable[..., Trials], tmp_path: Path) -> None:
    old = tmp_path / "here" / "0000"
    old.mkdir(parents=True)
    (old / "config.yaml").write_text("name: old\n")
    assert (job := command().next_job()) is not None
    assert not job.run.started()
    assert (tmp_path / "here" / "0000.kept1" / "config.yaml").is_file()
