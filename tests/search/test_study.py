import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import optuna
import pytest
from sweep_config import CONFIG, SPACE

from src.config.errors import UserError
from src.search.space import read_space
from src.search.study import JournalLock, importances, open_study, trials_of, winner
from src.search.trials import draw

STORES = [None, "{folder}/deep/study.journal", "sqlite:///{folder}/deep/other.db"]


def search(folder: Path, count: int, **changes: Any) -> list[dict[str, Any]]:
    """`count` further trials of a known function, as one command makes them; the parameters of all trials."""
    study, parameters = open_study(CONFIG | changes, folder), read_space(SPACE)
    for _ in range(count):
        trial = study.ask()
        x, n, c = (draw(trial, parameter) for parameter in parameters)
        study.tell(trial, (x - 1) ** 2 + n + (c == "a"))
    return [trial.params for trial in study.trials]


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_a_search_in_sittings_is_the_search_in_one(store: str | None, sampler: str, tmp_path: Path) -> None:
    words = {"store": store and store.format(folder=tmp_path), "sampler": sampler}
    for count in (2, 1, 5, 4):
        pieces = search(tmp_path, count, **words)
    (tmp_path / "whole").mkdir()
    assert pieces == search(tmp_path / "whole", 12, sampler=sampler)
    assert len({str(point) for point in pieces}) == 12


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_a_kill_between_two_draws_changes_neither(sampler: str, tmp_path: Path) -> None:
    parameters = read_space(SPACE)
    for folder, kill in ((tmp_path / "whole", False), (tmp_path / "killed", True)):
        folder.mkdir()
        search(folder, 5, sampler=sampler)
        trial = (study := open_study(CONFIG | {"sampler": sampler}, folder)).ask()
        for parameter in parameters:
            draw(trial, parameter)
            if kill:
                study = open_study(CONFIG | {"sampler": sampler}, folder)
                trial = optuna.trial.Trial(study, trial._trial_id)
    points = [open_study(CONFIG | {"sampler": sampler}, tmp_path / name).trials[-1].params for name in ("whole", "killed")]
    assert points[0] == points[1]


@pytest.mark.parametrize("apart", [False, True])
def test_commands_that_start_together_make_one_study(apart: bool, tmp_path: Path) -> None:
    """apart: they share a store, and not the folder."""
    folders = [tmp_path / (str(number) if apart else "one") for number in range(8)]
    for folder in folders:
        folder.mkdir(exist_ok=True)
    words = CONFIG | {"store": f"sqlite:///{tmp_path}/study.db"}
    with ThreadPoolExecutor(8) as pool:
        studies = list(pool.map(lambda folder: open_study(words, folder), folders))
    assert {study._study_id for study in studies} == {1}


def test_a_folder_may_have_any_name(tmp_path: Path) -> None:
    (folder := tmp_path / "a?b#c %20 {x} ü").mkdir()
    assert len(search(folder, 1)) == 1
    assert (folder / "study.db").is_file()
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]


def test_a_database_by_the_name_of_its_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    open_study(CONFIG | {"store": f"sqlite+pysqlite:///{tmp_path}/deep/py.db"}, tmp_path)
    assert (tmp_path / "deep" / "py.db").is_file()
    assert not list(tmp_path.glob("sqlite*"))


def test_a_journal_whose_last_line_was_cut_short_goes_on(tmp_path: Path) -> None:
    words = {"store": f"{tmp_path}/study.journal"}
    search(tmp_path, 3, **words)
    with (tmp_path / "study.journal").open("ab") as file:
        file.write(b'{"op_code":4,"worker_')
    assert len(search(tmp_path, 1, **words)) == 4
    assert len(search(tmp_path, 1, **words)) == 5


def test_a_line_cut_short_while_another_command_is_at_work_costs_nothing(tmp_path: Path) -> None:
    words = {"store": f"{tmp_path}/study.journal"}
    study = open_study(CONFIG | words, tmp_path)
    study.ask()
    with (tmp_path / "study.journal").open("ab") as file:
        file.write(b'{"op_code":4,"worker_')
    study.ask()
    study.ask()
    assert len(study.trials) == 3
    assert len(search(tmp_path, 1, **words)) == 4


def test_a_lock_that_a_killed_command_left_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store's path is a relative one, and the folder is seen by another path afterwards, as on another machine."""
    monkeypatch.chdir(tmp_path)
    search(tmp_path, 1, store="deep/study.journal")
    JournalLock("deep/study.journal").acquire()
    Path("deep").rename("elsewhere")
    assert Path("elsewhere/study.journal.lock").samefile("elsewhere/study.journal")
    lock = JournalLock("elsewhere/study.journal")
    lock.grace_period = 1  # seconds
    lock.acquire()
    lock.release()
    assert len(search(tmp_path, 1, store="elsewhere/study.journal")) == 2


def test_another_seed_is_another_search(tmp_path: Path) -> None:
    for seed in (0, 1):
        (tmp_path / str(seed)).mkdir()
    assert search(tmp_path / "0", 3) != search(tmp_path / "1", 3, seed=1)


def test_tpe_goes_where_it_is_good(tmp_path: Path) -> None:
    points = search(tmp_path, 40)
    assert sum(point["n"] for point in points[-10:]) < sum(point["n"] for point in points[:10])
    study = open_study(CONFIG, tmp_path)
    best = winner(study)
    assert best is not None
    assert best.value == min(trial.value for trial in study.trials if trial.value is not None)
    found = importances(study)
    assert found.keys() == SPACE.keys()
    assert sum(found.values()) == pytest.approx(1)
    assert found["c"] < max(found.values())
    records = trials_of(study, read_space(SPACE))
    assert [record.number for record in records] == list(range(40))
    assert {record.point["c"] for record in records} <= {"a", "[1,2]", "null"}


def test_too_few_trials_have_no_importances(tmp_path: Path) -> None:
    search(tmp_path, 3)
    assert importances(open_study(CONFIG, tmp_path)) == {}


@pytest.mark.parametrize(
    ("change", "answer"),
    [
        ({"space": SPACE | {"n": {"type": "int", "low": 1, "high": 10}}}, "space.n.high: 9 -> 10"),
        ({"space": {"x": SPACE["x"]}}, "space.n.high: 9 -> None"),
        ({"base": ["model=dcgan"]}, "base: ['model=mlp_gan'] -> ['model=dcgan']"),
        ({"stop": {"images": 1280}}, "stop.images: 640 -> 1280"),
        ({"pruner": "asha"}, "pruner: none -> asha"),
        ({"seed": 7}, "seed: 0 -> 7"),
        ({"recipe": {"model.slope": 0.1}}, "recipe.model.slope: 0.2 -> 0.1"),
    ],
)
@pytest.mark.parametrize("store", STORES[:2])
def test_a_store_of_another_sweep_is_refused(change: dict[str, Any], answer: str, store: str | None, tmp_path: Path) -> None:
    words = {"store": store and store.format(folder=tmp_path)}
    search(tmp_path, 1, **words)
    with pytest.raises(UserError) as error:
        open_study(CONFIG | words | change, tmp_path)
    assert answer in str(error.value)
    assert "choose another name=" in str(error.value)
    assert len(search(tmp_path, 1, **words)) == 2  # the right one goes on


def test_a_foreign_study_is_refused(tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path}/study.db"
    optuna.create_study(storage=address, study_name="test").ask()
    with pytest.raises(UserError, match="no sweep of ours"):
        open_study(CONFIG, tmp_path)
    for name, directions in (("up", ["maximize"]), ("two", ["minimize", "minimize"])):
        optuna.create_study(storage=address, study_name=name, directions=directions)
        with pytest.raises(UserError, match="another objective"):
            open_study(CONFIG | {"name": name}, tmp_path)


def test_a_store_that_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "study.db").write_bytes(b"no database, but long enough to be looked at " * 100)
    with pytest.raises(UserError, match="cannot open store"):
        open_study(CONFIG, tmp_path)
    for store, answer in (
        ("study.db", "neither a database's address"),
        ("postgresql://nobody@localhost:1/none", "pip install"),
        ("sqlite:////dev/null/study.db", "cannot open store"),
        *((store, "would be lost") for store in ("sqlite://", "sqlite:///:memory:", "sqlite:///file:x?mode=memory&uri=true")),
        ("/dev/null/study.journal", "cannot open store"),
    ):
        with pytest.raises(UserError, match=answer):
            open_study(CONFIG | {"store": store}, tmp_path)
    with sqlite3.connect(tmp_path / "newer.db") as other:
        other.execute("create table version_info (version_info_id integer primary key, schema_version, library_version)")
        other.execute("insert into version_info values (1, 999, '99.0')")
    with pytest.raises(UserError, match="cannot open store"):
        open_study(CONFIG | {"store": f"sqlite:///{tmp_path}/newer.db"}, tmp_path)
