"""Load a trained model from a run folder."""

from pathlib import Path
from typing import Any

from src.config.errors import UserError
from src.config.experiment import Experiment
from src.runs.checkpoints import load_checkpoint
from src.runs.export import load_safetensors
from src.runs.folder import RunFolder


def load_run(path: str | Path, which: str = "best", device: str = "cpu", experiment: Experiment | None = None) -> Any:
    """The trained src.models.model.Model of a run folder, in evaluation mode. The run's data are not needed.

    which: the "best" or the "last" checkpoint. A published folder has neither: of it, only `network()` is trained.
    experiment: builds the model; None for the folder's own config, which may build fewer classes than a typed one.
    UserError if the weights are missing, damaged or of another model.
    """
    run = RunFolder.existing(path)
    experiment = experiment or run.experiment()
    model = experiment.model(run.spec() or experiment.dataset.spec)
    source = run.weights(which)
    try:
        if source.suffix == ".safetensors":
            model.network().load_state_dict(load_safetensors(source)[0])
            model.set_clock({key: run.manifest()["ended"][key] for key in model.clock()})
        else:
            checkpoint = load_checkpoint(source)
            model.load_state_dict(checkpoint["state_dict"])
            model.set_clock(checkpoint["clock"])
    except RuntimeError as error:
        raise UserError(f"{source} is of another model than {run.path / 'config.yaml'} says") from error
    return model.eval().to(device)
