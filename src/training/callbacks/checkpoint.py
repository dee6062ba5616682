"""Save checkpoints, which stay intact if writing one is interrupted."""

from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import Checkpoint as LastCallback
from pytorch_lightning.plugins.io import CheckpointIO

from src.config.errors import Diverged
from src.models.model import Model
from src.parallel.collectives import from_first, is_distributed, largest
from src.parallel.launch import in_all_ranks
from src.runs.checkpoints import drop_checkpoint, load_checkpoint, save_checkpoint
from src.runs.export import state_hash
from src.runs.folder import RunFolder
from src.training.callbacks.stop_on_signal import StopOnSignal
from src.training.loggers import Record
from src.training.schedules import is_every


class AtomicCheckpointIO(CheckpointIO):
    """Atomic writing and checked reading; Lightning's are not atomic across file systems and do not detect a flipped bit."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)  # the folder of a user's ModelCheckpoint
        save_checkpoint(checkpoint, Path(path))

    def load_checkpoint(self, path: str | Path, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        return load_checkpoint(Path(path), map_location)

    def remove_checkpoint(self, path: str | Path) -> None:
        drop_checkpoint(Path(path))


class Checkpoint(LastCallback):
    """Saves a checkpoint every `every` steps, at a signal and at the end; keeps the newest `keep`.

    It must come last. Of Lightning's base class for such callbacks, which it calls after all others, EarlyStopping included.
    """

    def __init__(self, run: RunFolder, record: Record, signals: StopOnSignal, every: int, keep: int) -> None:
        self.run, self.record, self.signals, self.every, self.keep = run, record, signals, every, keep
        self._saved_at: int | None = None

    def due(self, step: int) -> bool:
        return is_every(step, self.every)

    def on_train_batch_end(self, trainer: Trainer, model: Model, *_: Any) -> None:
        # At a signal in mid-epoch it is saved here: what Lightning does next, as at the end of an epoch, must not be in it.
        if not trainer.is_last_batch and self._wanted(model):
            self.save(trainer, model)

    def on_train_epoch_end(self, trainer: Trainer, model: Model) -> None:
        # A resumed run does not call other callbacks at the end of an epoch that its checkpoint has completed.
        if trainer.is_last_batch and self._wanted(model):
            self.save(trainer, model)

    def _wanted(self, model: Model) -> bool:
        return self.due(model.step) or self.signals.number is not None

    def on_train_end(self, trainer: Trainer, model: Model) -> None:
        if model.step != self._saved_at or self.signals.number is None:
            self.save(trainer, model)

    def save(self, trainer: Trainer, model: Model) -> None:
        check_finite(model)
        check_same(model)
        self.record.sync()  # a power cut must not lose scalars from before a checkpoint
        trainer.save_checkpoint(self.run.checkpoint_path("step", model.step))
        self._saved_at = model.step
        if trainer.is_global_zero:
            self.run.prune("step", self.keep)
            self.run.prune("best", keep=1)


def check_same(model: Model) -> None:
    """Raise RuntimeError if the ranks no longer hold the same model: all make the same updates to the same weights."""
    digest = state_hash(model.state_dict()) if is_distributed() else ""
    if largest(from_first(lambda: digest) != digest):
        raise RuntimeError(f"the ranks hold different models at step {model.step}: do their machines compute alike?")


def check_finite(model: Model) -> None:
    """Raise Diverged if a weight is not finite, as after a finite loss with infinite gradients: it must not be saved."""
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            error = Diverged(
                f"{name} is not finite at step {model.step}: training has diverged, the last good checkpoint is kept "
                "(lower the learning rates or raise the penalty, in a new run)"
            )
            raise in_all_ranks(error)
