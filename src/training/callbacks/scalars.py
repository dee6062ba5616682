"""Log the model's scalars during training."""

from typing import Any

from pytorch_lightning import Callback, Trainer

from src.models.model import Model
from src.parallel.collectives import mean_of_scalars
from src.training.callbacks.validation import VALIDATION
from src.training.loggers import Record
from src.training.schedules import is_every


class LogScalars(Callback):
    """Writes to metrics.jsonl every `every` steps: means over the ranks, and other values logged by `self.log`."""

    def __init__(self, record: Record, every: int) -> None:
        self.record, self.every = record, every
        self.measured = {"step"}  # names that the model has logged; in a later phase it may not measure all of them

    def due(self, step: int) -> bool:
        return is_every(step, self.every) or step == 1

    def on_train_batch_end(self, trainer: Trainer, model: Model, *_: Any) -> None:
        self.measured |= model.scalars().keys()
        if not self.due(model.step):
            return
        scalars = mean_of_scalars(model.scalars())
        logged = {name: value for name, value in trainer.callback_metrics.items() if not name.startswith(VALIDATION)}
        others = {name: float(value) for name, value in logged.items() if name not in self.measured}
        self.record.scalars(model.step, model.samples_seen, scalars | others, tell=False)  # Lightning tells the loggers
