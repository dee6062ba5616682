"""The final evaluation of a run folder: a suite measures the best checkpoint, metrics.json records the result."""

from pathlib import Path
from typing import Any

import torch

from src.config.experiment import Experiment
from src.evaluation.suite import Column, plain_record
from src.parallel.collectives import from_first, is_first
from src.runs.checkpoints import step_of
from src.runs.export import state_hash
from src.runs.folder import RunFolder
from src.runs.load import load_run
from src.system.files import write_json

LAST = (
    Column("last", "at the end", "the main metric of the last checkpoint, not of the best by validation", None, page_only=True),
    Column("selection_gap", "selection gap", "`last` minus the main metric: what choosing the checkpoint changes", None, True),
)


def evaluate_run(run: RunFolder, experiment: Experiment, path: Path) -> dict[str, Any]:
    """Measure a run's best checkpoint by the suite of an experiment, write the record to `path` and return it.

    Every rank calls this; rank 0 writes.
    """
    device = run.manifest().get("device", "cpu")
    device = device if torch.cuda.is_available() else "cpu"
    dataset, model = experiment.dataset, load_run(run.path, device=device, experiment=experiment)
    if hasattr(experiment.suite, "check_model"):
        experiment.suite.check_model(model)
    record = experiment.suite.evaluate(model, dataset, experiment.modality(dataset.spec), run.samples)
    last = last_checkpoint(run, experiment, device, record) if hasattr(experiment.suite, "score") else {}
    if is_first():
        record = plain_record(record)
        record["metrics"] |= last
        record["columns"] += [column._asdict() for column in LAST if column.key in last]
        cost = record.pop("cost", None)
        if cost and path == run.path / "metrics.json":
            run.update_manifest(evaluation_cost=cost)
        record["protocol"] |= {
            "checkpoint": run.checkpoint().name,
            "network_sha256": state_hash(model.network().state_dict()),
        }
        write_json(path, record)
    return record


def last_checkpoint(run: RunFolder, experiment: Experiment, device: str, record: dict[str, Any]) -> dict[str, float]:
    """`last` and `selection_gap`, see LAST: papers report either checkpoint, and the two may be far apart."""
    best = from_first(lambda: record["metrics"][record["main"]["name"]])
    if from_first(lambda: step_of(run.checkpoint("last")) == step_of(run.checkpoint())):
        return {"last": best, "selection_gap": 0.0}
    model = load_run(run.path, "last", device=device, experiment=experiment)
    value = experiment.suite.score(model, experiment.dataset)
    return {"last": value, "selection_gap": value - best}
