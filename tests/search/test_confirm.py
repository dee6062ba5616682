"""Which runs on fresh seeds there are already, without training any."""

from pathlib import Path
from typing import Any

import pytest

from src.runs.folder import RunFolder
from src.search.confirm import WORDS, Confirmation
from src.sweep import compose
from src.system.files import write_json

BASE = ["model=mlp_gan", "data=digits"]


def recipes(lr: float = 0.002) -> dict[str, list[str]]:
    return {"base": BASE, "trial_0": [*BASE, f"model.g_optimizer.lr={lr}"]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of a sweep whose winner has been trained and measured, beside the base recipe, on seed 1."""
    for name, words in recipes().items():
        with RunFolder(tmp_path / "confirm" / name / "1") as run:
            run.write_config(compose([*words, *WORDS, "seed=1"]))
            run.update_manifest(ended={"reason": "images"})
            write_json(run.path / "metrics.json", {"metrics": {"fd_digits": 1.0}})
    return tmp_path


def test_what_is_done_is_not_done_again(folder: Path) -> None:
    confirmation = Confirmation(folder, recipes(), [1], compose)
    assert confirmation.next_job() is None
    assert not confirmation.waiting()
    assert confirmation.begun() == [folder / "confirm" / name / "1" for name in recipes()]


@pytest.mark.parametrize("file", ["manifest.json", "metrics.json", "config.yaml"])
def test_a_damaged_run_begins_anew(file: str, folder: Path) -> None:
    (folder / "confirm" / "trial_0" / "1" / file).write_text("{")
    confirmation = Confirmation(folder, recipes(), [1], compose)
    assert confirmation.left()
    assert confirmation.begun() == []
    job: Any = confirmation.next_job()
    assert (job.name, job.seed) == ("trial_0", 1)
    assert not job.run.started()
    assert RunFolder(folder / "confirm" / "trial_0" / "1.kept1").started()


def test_another_winner_of_the_same_number_is_trained(folder: Path) -> None:
    """As after its store was deleted: the earlier winner's run is no verdict on this one, the base's is."""
    confirmation = Confirmation(folder, recipes(lr=0.004), [1], compose)
    assert confirmation.begun() == []
    job: Any = confirmation.next_job()
    assert (job.name, job.seed) == ("trial_0", 1)
    assert not job.run.started()
    assert RunFolder(folder / "confirm" / "trial_0" / "1.kept1").started()
    assert confirmation.next_job() is None
    job.run.write_config(compose(job.words))
    job.run.update_manifest(ended={"reason": "images"})
    assert confirmation.begun() == [folder / "confirm" / name / "1" for name in recipes()]
