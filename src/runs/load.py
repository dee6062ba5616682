"""Back from a run folder to a trained model."""

from pathlib import Path
from typing import Any

from src.config.errors import UserError
from src.config.experiment import Experiment
from src.runs.checkpoints import load_checkpoint
from src.runs.folder import RunFolder


def load_run(path: str | Path, which: str = "best", device: str = "cpu", experiment: Experiment | None = None) -> Any:
    """The trained model of a run folder, in evaluation mode: of the best checkpoint, or of the "last".

    Its data need not be there. A src.models.model.Model; `sample(seeds)` draws where it has that capability.
    experiment: what the model is built from; None for the folder's own config, which may build less than one that is typed.
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
