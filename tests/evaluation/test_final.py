"""The last checkpoint beside the best one."""

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from src.evaluation.final import last_checkpoint
from src.models.model import Model
from src.runs.checkpoints import digest_path
from src.runs.folder import RunFolder


def test_the_last_checkpoint_is_measured_where_another_one_is_best(tiny_run: Path, tmp_path: Path) -> None:
    run = RunFolder(shutil.copytree(tiny_run, tmp_path / "run"))
    record = {"main": {"name": "error"}, "metrics": {"error": 2.5}}
    measured: list[int] = []

    def score(model: Model, dataset: Any) -> float:
        measured.append(model.step)
        return 3.0

    own = run.experiment()
    experiment: Any = SimpleNamespace(suite=SimpleNamespace(score=score), dataset=own.dataset, model=own.model)
    for path in run.own("best"):
        path.unlink()
    assert last_checkpoint(run, experiment, "cpu", record) == {"last": 2.5, "selection_gap": 0.0}, "it is the one that counts"
    assert not measured

    early, best = run.checkpoint_path("step", 10), run.checkpoint_path("best", 10)
    shutil.copy(early, best)
    shutil.copy(digest_path(early), digest_path(best))
    assert last_checkpoint(run, experiment, "cpu", record) == {"last": 3.0, "selection_gap": 0.5}
    assert measured == [20]
