"""Load a trained model from a run folder."""

from pathlib import Path
from typing import Any

from src.config.errors import UserError
from src.config.experiment import Experiment
from src.runs.checkpoints import load_checkpoint
from src.runs.folder import RunFolder


def load_run(path: str | Path, which: str = "best", device: str = "cpu", experiment: Experiment | None = None) -> Any:
    """The trained src.models.model.Model of a run folder, in evaluation mode. The run's data are not needed.

    which: the "best" or the "last" checkpoint. experiment: builds the model; None for the folder's own config, which may build
    fewer classes than a typed one. UserError if the checkpoint is missing, damaged or of another model.
    """
    run = RunFolder.existing(path)
    experiment = experiment or run.experiment()
    model = experiment.model(run.spec() or experiment.dataset.spec)
    checkpoint = load_checkpoint(run.checkpoint(which))
    try:
        model.load_state_dict(checkpoint["state_dict"])
    except RuntimeError as error:
        raise UserError(f"{run.checkpoint(which)} is of another model than {run.path / 'config.yaml'} says") from error
    model.set_clock(checkpoint["clock"])
    return model.eval().to(device)
