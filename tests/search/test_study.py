import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import RetryHeartbeatStaleTrialCallback, fail_stale_trials
from optuna.study import Study

from src.config.errors import UserError
from src.search.space import read_space
from src.search.study import importances, numbered_trials, winner
from src.search.trials import draw

Open = Callable[..., Study]
pytestmark = [
    pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning"),
    pytest.mark.filterwarnings("ignore:Heartbeat of storage"),  # of `ask` without Study.optimize
]


def search(study: Study, space: dict[str, Any], count: int, interrupt: bool = False) -> list[dict[str, Any]]:
    """`count` further trials of a known function, as one command makes them; the parameters of all trials.

    interrupt: each at its first attempt.
    """
    for attempt in range(count * (1 + interrupt)):
        trial = study.ask()
        x, n, c = (draw(trial, key, found) for key, found in read_space(space).items())
        if interrupt and attempt % 2 == 0:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            RetryHeartbeatStaleTrialCallback()(study, study.trials[trial.number])
        else:
            study.tell(trial, (x - 1) ** 2 + n + (c == "a"))
    return [trial.params for trial in numbered_trials(study).values()]


def test_a_search_in_sittings_is_the_search_in_one(open_sweep: Open, space: Any, tmp_path: Path) -> None:
    """Interrupted trials are gone on with under their own number, and those after them draw what they would have drawn."""
    for count, interrupt in ((1, False), (1, True), (2, False), (2, True)):
        pieces = search(open_sweep(tmp_path / "pieces"), space, count, interrupt)
    assert pieces == search(open_sweep(tmp_path / "whole"), space, 6)
    assert len({str(point) for point in pieces}) == 6
    assert pieces[:1] != search(open_sweep(tmp_path / "other", seed=1), space, 1)
    random = search(open_sweep(tmp_path / "random", sampler="random"), space, 4)
    assert random[:3] == pieces[:3]  # TPE begins at random
    assert random[3] != pieces[3]


def test_a_trial_of_a_dead_command_waits_for_another(
    open_sweep: Open, space: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("src.search.study.GRACE", 1)
    study = open_sweep(tmp_path)
    search(study, space, 1)
    trial = study.ask()
    draw(trial, "x", read_space(space)["x"])
    trial.storage.record_heartbeat(trial._trial_id)
    other = open_sweep(tmp_path)
    fail_stale_trials(other)
    assert [found.state.name for found in numbered_trials(other).values()] == ["COMPLETE", "RUNNING"]
    time.sleep(2.5)
    fail_stale_trials(other)
    assert [found.state.name for found in numbered_trials(other).values()] == ["COMPLETE", "WAITING"]
    assert numbered_trials(other)[1].params == trial.params


def test_a_waiting_trial_is_begun_once(open_sweep: Open, tmp_path: Path) -> None:
    study = open_sweep(tmp_path)
    for _ in range(12):
        study.enqueue_trial({})
    with ThreadPoolExecutor(6) as pool:
        numbers = [*pool.map(lambda number: (open_sweep(tmp_path) if number % 2 else study).ask().number, range(12))]
    assert sorted(numbers) == list(range(12))


def test_tpe_goes_where_it_is_good(open_sweep: Open, space: Any, tmp_path: Path) -> None:
    study = open_sweep(tmp_path)
    assert winner(study) is None
    points = search(study, space, 3)
    assert importances(study) == {}  # too few trials
    points = search(study, space, 17)
    assert sum(point["n"] for point in points[-5:]) < sum(point["n"] for point in points[:5])
    number, best = winner(study) or (0, None)
    assert best is not None
    assert best.value == min(trial.value for trial in study.trials if trial.value is not None)
    assert best == numbered_trials(study)[number]
    found = importances(study)
    assert found.keys() == space.keys()
    assert sum(found.values()) == pytest.approx(1)


def test_higher_scores_may_be_better(open_sweep: Open, space: Any, tmp_path: Path) -> None:
    study = open_sweep(tmp_path, better="higher")
    search(study, space, 3)
    _, best = winner(study) or (0, None)
    assert best is not None
    assert best.value == max(trial.value for trial in study.trials if trial.value is not None)


def test_a_store_of_another_sweep_is_refused(open_sweep: Open, space: Any, tmp_path: Path) -> None:
    search(open_sweep(tmp_path), space, 1)
    for change, answer in (
        ({"space": {"x": {"type": "float", "low": -5.0, "high": 6.0}}}, "space.n.high: 9 -> None"),
        ({"seed": 7}, "(seed: 0 -> 7)"),
        ({"better": "higher"}, "(better: lower -> higher)"),
        ({"data": {"images": "2b"}, "recipe": {"model.slope": 0.1}}, "(data.images: 1a -> 2b)"),
        ({"recipe": {"model.slope": 0.1}}, "(recipe.model.slope: 0.2 -> 0.1)"),
    ):
        with pytest.raises(UserError) as error:
            open_sweep(tmp_path, **change)
        assert answer in str(error.value)
        assert "choose another name=" in str(error.value)
    assert len(search(open_sweep(tmp_path), space, 1)) == 2  # the right one goes on


def test_a_foreign_study_is_refused(open_sweep: Open, tmp_path: Path) -> None:
    optuna.create_study(storage=f"sqlite:///{tmp_path}/study.db", study_name="test").ask()
    with pytest.raises(UserError, match=r"of another sweep \(better: None -> lower; "):
        open_sweep(tmp_path)


def test_a_folder_may_have_any_name(open_sweep: Open, space: Any, tmp_path: Path) -> None:
    folder = tmp_path / "a?b#c %20 {x} ü"
    assert len(search(open_sweep(folder), space, 1)) == 1
    assert (folder / "study.db").is_file()
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]


@pytest.mark.parametrize(
    ("store", "answer"),
    [
        ("study.db", "cannot open store=study.db"),
        ("postgresql://nobody@localhost:1/none", "pip install"),
        ("sqlite:////dev/null/study.db", "cannot open store"),
        (None, "cannot open store"),
    ],
)
def test_a_store_that_cannot_be_opened(store: str | None, answer: str, open_sweep: Open, tmp_path: Path) -> None:
    (tmp_path / "study.db").write_bytes(b"no database, but long enough to be looked at " * 100)
    with pytest.raises(UserError, match=answer) as error:
        open_sweep(tmp_path, store=store)
    assert len(str(error.value).splitlines()) == 1
