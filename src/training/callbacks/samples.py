"""Draw samples of the same seeds repeatedly during training, and make a film of them at the end."""

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, Trainer

from src.config.errors import Diverged
from src.data.spec import Batch
from src.modalities.modality import Films, Modality, Moves, Plays
from src.models.conditions import source_as_data
from src.models.model import Model
from src.training.callbacks.stop_on_signal import StopOnSignal
from src.training.loggers import Record
from src.training.schedules import is_log_spaced

BESIDE = "sound-*", "moving-*"  # beside previews: of music WAV files and scores, of video GIFs
FIXED_SEEDS = 2_000_000  # differ from the evaluation's: recipes must not be tuned by looking at samples that are scored


class DrawSamples(Callback):
    """A preview of the samples of fixed seeds at log-spaced steps, and a film of them all at the end.

    Beside a preview of music is its sound, beside one of video a GIF. The model needs the capability Samples; a film needs the
    modality's capability Films. sources: what the samples are generated from (`conditions_for`), for models that read a source
    or a caption.
    """

    def __init__(
        self,
        folder: Path,
        record: Record,
        signals: StopOnSignal,
        modality: Modality,
        seeds: Sequence[int],
        per_decade: int,
        sources: Batch | None = None,
    ) -> None:
        self.folder, self.record, self.signals, self.per_decade = folder, record, signals, per_decade
        self.seeds, self.modality, self.sources = seeds, modality, sources or {}
        self.seconds = 0.0  # that drawing has taken in this process

    def due(self, step: int) -> bool:
        return is_log_spaced(step, self.per_decade)

    def on_train_start(self, trainer: Trainer, model: Model) -> None:
        if not trainer.is_global_zero:
            return
        for path in [*self.previews(), *(path for files in BESIDE for path in self.folder.glob(files))]:
            if step_of(path) > model.step:  # which is recomputed
                path.unlink()
        if model.step == 0:
            self.draw(model)

    def on_train_batch_end(self, trainer: Trainer, model: Model, *_: Any) -> None:
        if trainer.is_global_zero and self.due(model.step):
            self.draw(model)

    def on_train_end(self, trainer: Trainer, model: Model) -> None:
        if self.signals.number is not None or not trainer.is_global_zero:
            return
        self.draw(model)
        self.film()

    def on_exception(self, trainer: Trainer, model: Model, exception: BaseException) -> None:
        if isinstance(exception, Diverged) and trainer.is_global_zero:
            self.film()  # shows how the training diverged

    def previews(self) -> list[Path]:
        return sorted(self.folder.glob(f"step-*{self.modality.suffix}"))

    def film(self) -> None:
        if isinstance(self.modality, Films):
            frames = self.previews()
            self.modality.film(frames, self.folder / "film.gif", captions=[f"step {step_of(path):,}" for path in frames])

    def draw(self, model: Any) -> None:
        began = time.monotonic()
        path = self.folder / f"step-{model.step:09d}{self.modality.suffix}"
        if self.sources:
            samples = model.sample(self.seeds, {**model.conditions(self.seeds), **self.sources})
            preview: Any = self.modality.preview
            if "source" in self.sources:  # captions are not shown
                preview = partial(preview, sources=source_as_data(self.sources["source"]))
        else:
            samples, preview = model.sample(self.seeds), self.modality.preview
        finished = self.modality.finish(samples)
        if isinstance(self.modality, Plays):
            classes = model.conditions(self.seeds).get("y")
            preview = partial(self.modality.preview, classes=classes)  # type: ignore[call-arg]
            sound, _ = self.modality.listen(finished, self.folder / f"sound-{model.step:09d}", classes)
            self.record.picture(model.step, "sound", sound)
        if isinstance(self.modality, Moves):
            self.record.picture(model.step, "moving", self.modality.move(finished, self.folder / f"moving-{model.step:09d}"))
        preview(finished, path)
        self.record.picture(model.step, "samples", path)
        self.seconds += time.monotonic() - began


def step_of(preview: Path) -> int:
    return int(preview.stem.rpartition("-")[2])
