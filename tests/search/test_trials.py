"""Who takes which trial, without training any."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from optuna.trial import TrialState
from PIL import Image
from sweep_config import CONFIG, SPACE

from src.config.errors import UserError
from src.runs.folder import RunFolder, build_dataset
from src.search.jobs import check_data, end
from src.search.space import read_space
from src.search.study import open_study
from src.search.trials import SILENCE, Trials
from src.sweep import search
from src.system.files import write_json


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


def test_a_training_that_a_killed_command_left_ends_before_the_next_begins(command: Callable[..., Trials]) -> None:
    job = command().next_job()
    assert job is not None
    job.close()
    held = Event()

    def save() -> None:  # as its training does, which ends later than the command
        with job.run:
            held.set()
            time.sleep(3)

    (training := Thread(target=save)).start()
    held.wait()
    other = command(count=2, refuse="no such thing")
    assert other.next_job() is None
    assert len(other.study.trials) == 1
    other.run(1, wait=False)  # waits for it all the same
    assert not training.is_alive()
    assert [trial.state for trial in other.study.trials] == [TrialState.FAIL] * 2


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


def test_what_an_interrupted_trial_has_cost_is_in_the_store(command: Callable[..., Trials]) -> None:
    job = command().next_job()
    assert job is not None
    record = job.run.path / "metrics.jsonl"
    record.write_text('{"step": 30, "images_seen": 960, "g_loss": 1.0}\n{"step": 40, "ima')
    job.started_at = time.monotonic() - 25
    end([job])
    cost = {"images": 960, "seconds": pytest.approx(25, abs=5)}
    trial = command().study.trials[0]
    assert cost.items() <= trial.user_attrs.items()
    assert trial.state == TrialState.RUNNING

    seen = trial.user_attrs["seen"]  # the last sign of life of a command that is killed, whose training takes 40 s more
    record.write_text('{"step": 60, "images_seen": 1920, "g_loss": 1.0}\n')
    os.utime(record, (seen + 40, seen + 40))
    again = command().next_job()
    assert again is not None
    assert {"images": 1920, "seconds": pytest.approx(65, abs=5)}.items() <= again.trial.user_attrs.items()

    write_json(again.run.path / "manifest.json", {"ended": {"images_seen": 2000}})
    again.trials.tell(again.trial, TrialState.COMPLETE, 1.0)
    again.interrupted()  # as where the command stops itself after a trial: no harm done


def test_a_trial_that_is_given_up_or_stopped_keeps_what_it_has_cost(command: Callable[..., Trials]) -> None:
    trials = command(count=2)
    given_up, stopped = trials.next_job(), trials.next_job()
    assert given_up is not None
    assert stopped is not None
    for job in (given_up, stopped):
        (job.run.path / "metrics.jsonl").write_text('{"step": 344, "images_seen": 11000, "g_loss": 1.0}\n')
        job.close()
    (given_up.run.path / "config.yaml").write_text("name: old\n")
    stopped.trial.report(3.0, 20)
    stopped.trial.set_user_attr("pruned", True)
    command(count=2).next_job()
    assert [trial.user_attrs.get("images") for trial in trials.study.trials[:2]] == [11000] * 2


def test_other_data_are_another_sweep(command: Callable[..., Trials], tmp_path: Path) -> None:
    """A picture more, with one trial running and one that has ended: nothing goes on, nothing is begun."""
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(300):
        Image.new("L", (8, 8), number % 256).save(pictures / f"{number}.bmp")
    source = {"_target_": "src.data.folder.Folder", "path": str(pictures), "cache": str(tmp_path / "cache"), "size": 8}
    base = {"data": {"source": source}}
    (dataset := build_dataset(base)).prepare()
    trials = command()
    for state in (TrialState.COMPLETE, TrialState.RUNNING):
        job = trials.next_job()
        assert job is not None
        write_json(job.run.path / "manifest.json", {"data": dataset.hashes()})
        if state == TrialState.COMPLETE:
            trials.tell(job.trial, state, 1.0)
        job.close()
    check_data(trials.runs(), base)
    Image.new("L", (8, 8)).save(pictures / "one more.bmp")
    said = r"0000 was trained on other data \(data file images\.npy has other bytes.*choose another name="
    with pytest.raises(UserError, match=said) as error:
        search({"workers": 1, "confirm": 0, "name": "test"}, command(), base, [])
    assert len(str(error.value).splitlines()) == 1
    assert [trial.state for trial in trials.study.trials] == [TrialState.COMPLETE, TrialState.RUNNING]


def test_a_point_that_does_not_compose_is_a_failed_trial(command: Callable[..., Trials]) -> None:
    trials = command(count=2, refuse="no such thing")
    assert trials.next_job() is None
    assert [trial.user_attrs["reason"] for trial in trials.study.trials] == ["no such thing"] * 2


@pytest.mark.parametrize("good", [0, 1])
def test_where_everything_fails_it_does_not_go_on_for_ever(good: int, command: Callable[..., Trials]) -> None:
    """Good trials before do not make it the parameters' fault."""
    if good:
        job = command().next_job()
        assert job is not None
        job.trials.tell(job.trial, TrialState.COMPLETE, 1.0)
    with pytest.raises(UserError, match="5 trials in a row failed: no such thing"):
        command(count=100, refuse="no such thing").next_job()
    assert len(command().study.trials) == 5 + good
    assert command().failed() == 5


@pytest.mark.parametrize("state", [TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL])
@pytest.mark.parametrize("killed", [False, True])
def test_no_trial_that_has_ended_keeps_checkpoints(state: TrialState, killed: bool, command: Callable[..., Trials]) -> None:
    """A kill may fall between a trial's end and their removal: the next command removes them."""
    trials = command(count=1)
    job = trials.next_job()
    assert job is not None
    (checkpoint := job.run.checkpoint_path("step", 1)).write_bytes(b"weights")
    job.trial.report(1.0, 20)
    if killed:
        trials.study.tell(job.trial, 1.0 if state == TrialState.COMPLETE else None, state)
        job.close()
        assert checkpoint.exists()
        command(count=1).run(1, wait=False)
    else:
        trials.tell(job.trial, state, 1.0 if state == TrialState.COMPLETE else None, reason="why")
    assert not job.run.checkpoints.exists()


def test_a_kill_right_after_a_trial_was_asked_for_leaves_it_to_the_next_command(
    command: Callable[..., Trials], monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = command(count=1)
    ask = killed.study.ask

    def ask_and_die() -> None:
        ask()
        raise KeyboardInterrupt

    monkeypatch.setattr(killed.study, "ask", ask_and_die)
    with pytest.raises(KeyboardInterrupt):
        killed.next_job()
    assert [trial.state for trial in killed.study.trials] == [TrialState.RUNNING]
    assert (job := command(count=1).next_job()) is not None
    assert job.trial.number == 0


def test_a_trial_that_cannot_go_on_begins_anew_with_its_parameters(command: Callable[..., Trials], tmp_path: Path) -> None:
    """Under another number: the study keeps the old training's distances, which say nothing about the new one."""
    job = command().next_job()
    assert job is not None
    job.trial.report(5.0, 20)
    (job.run.path / "config.yaml").write_text("name: old\n")
    job.close()
    again = (other := command(count=1)).next_job()
    assert again is not None
    assert (again.trial.number, again.words[1:]) == (1, job.words[1:])
    assert not again.run.started()
    lost, anew = other.study.trials
    assert (lost.state, anew.params, anew.intermediate_values) == (TrialState.FAIL, lost.params, {})
    assert "begun anew under another number" in lost.user_attrs["reason"]
    assert other.failed() == 0
    assert other.next_job() is None
    assert (tmp_path / "here" / "0000.kept1" / "config.yaml").is_file()


@pytest.mark.parametrize("moment", ["enqueue_trial", "tell", "set_aside"])
@pytest.mark.parametrize("late", [False, True])
def test_a_kill_while_a_trial_is_given_up_loses_nothing(
    moment: str, late: bool, command: Callable[..., Trials], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """late: the kill falls right after the step, and not right before it."""
    job = command(count=1).next_job()
    assert job is not None
    job.trial.report(5.0, 20)
    (job.run.path / "config.yaml").write_text("name: old\n")
    job.close()
    killed = command(count=1)
    owner = RunFolder if moment == "set_aside" else killed.study
    step = getattr(owner, moment)

    def die(*words: Any, **options: Any) -> None:
        if late:
            step(*words, **options)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(owner, moment, die)
        with pytest.raises(KeyboardInterrupt):
            killed.next_job()
    other = command(count=1)
    other._tidy()
    again = other.next_job()
    assert again is not None
    assert (tmp_path / "here" / "0000.kept1" / "config.yaml").is_file()
    assert not again.run.started()
    assert other.next_job() is None
    lost, anew = other.study.trials
    assert (lost.state, again.trial.number) == (TrialState.FAIL, 1)
    assert (anew.params, anew.intermediate_values) == (lost.params, {})
    assert other.failed() == 0


def test_a_helper_is_done_while_others_still_train(command: Callable[..., Trials], capsys: pytest.CaptureFixture) -> None:
    job = command(count=1).next_job()  # held while it is
    assert job is not None
    search({"workers": 1, "confirm": 0, "name": "test"}, command(count=1), {}, [])
    assert "no trial is complete yet: other commands are at work on 1" in capsys.readouterr().out


def test_folders_of_a_study_that_is_no_more_are_set_aside(command: Callable[..., Trials], tmp_path: Path) -> None:
    old = tmp_path / "here" / "0000"
    old.mkdir(parents=True)
    (old / "config.yaml").write_text("name: old\n")
    assert (job := command().next_job()) is not None
    assert not job.run.started()
    assert (tmp_path / "here" / "0000.kept1" / "config.yaml").is_file()
