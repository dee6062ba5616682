"""The final evaluation of a run folder: a suite measures the best checkpoint, metrics.json records the result."""

from pathlib import Path
from typing import Any

import torch

from src.config.experiment import Experiment
from src.evaluation.suite import plain_record
from src.parallel.collectives import is_first
from src.runs.export import state_hash
from src.runs.folder import RunFolder
from src.runs.load import load_run
from src.system.files import write_json


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
    if is_first():
        record = plain_record(record)
        cost = record.pop("cost", None)
        if cost and path == run.path / "metrics.json":
            run.update_manifest(evaluation_cost=cost)
        record["protocol"] |= {
            "checkpoint": run.checkpoint().name,
            "network_sha256": state_hash(model.network().state_dict()),
        }
        write_json(path, record)
    return record
