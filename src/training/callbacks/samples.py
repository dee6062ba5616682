"""Pictures while training: the same latents again and again, and a film of them at the end."""

import importlib
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, Trainer

from src.config.errors import Diverged
from src.models.model import Model
from src.models.training import Training
from src.training.callbacks.record import Nowhere, Record
from src.training.callbacks.stop_on_signal import StopOnSignal
from src.training.schedules import is_log_spaced

FIXED_SEEDS = 2_000_000  # far from the evaluated samples: nobody should tune a recipe by looking at those it is scored on


class DrawSamples(Callback):
    """A grid of `n` samples from fixed latents at log-spaced steps; `film.gif` of all of them when training ends."""

    def __init__(
        self, folder: Path, record: Record | Nowhere, signals: StopOnSignal, kind: str, n: int, per_decade: int
    ) -> None:
        self.folder, self.record, self.signals, self.per_decade = folder, record, signals, per_decade
        self.seeds = range(FIXED_SEEDS, FIXED_SEEDS + n)
        self.modality = importlib.import_module(f"src.modalities.{kind}")

    def due(self, step: int) -> bool:
        return is_log_spaced(step, self.per_decade)

    def on_train_start(self, trainer: Trainer, training: Training) -> None:
        if not trainer.is_global_zero:
            return
        model = training.model
        for path in self.folder.glob("step-*.png"):  # of steps that are made again
            if int(path.stem.removeprefix("step-")) > model.step:
                path.unlink()
        if model.step == 0:
            self.draw(model)

    def on_train_batch_end(self, trainer: Trainer, training: Training, *_: Any) -> None:
        if trainer.is_global_zero and self.due(training.model.step):
            self.draw(training.model)

    def on_train_end(self, trainer: Trainer, training: Training) -> None:
        if self.signals.number is not None or not trainer.is_global_zero:
            return
        self.draw(training.model)
        self.film()

    def on_exception(self, trainer: Trainer, training: Training, exception: BaseException) -> None:
        if isinstance(exception, Diverged) and trainer.is_global_zero:
            self.film()  # of how it went wrong

    def film(self) -> None:
        frames = sorted(self.folder.glob("step-*.png"))
        captions = [f"step {int(path.stem.removeprefix('step-')):,}" for path in frames]
        self.modality.film(frames, self.folder / "film.gif", captions=captions)

    def draw(self, model: Model) -> None:
        path = self.folder / f"step-{model.step:09d}.png"
        self.modality.preview(self.modality.to_uint8(model.sample(self.seeds)), path)
        self.record.picture(model.step, "samples", path)
