"""Our whole pipeline as one measured way: config, run folder, memory-mapped data, Lightning, W&B offline, progress."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import hydra
import torch
from pytorch_lightning import Trainer

from benchmarks.timing import quiet
from src.config.checks import PACKAGES, plain
from src.models.training import Training
from src.parallel.place import Place
from src.parallel.processes import ALONE, Team
from src.runs.folder import RunFolder, build_dataset
from src.training import fit
from src.training.callbacks.budget import Budget

ROOT = Path(__file__).parent.parent


def compose(*words: str) -> dict[str, Any]:
    """The config of `python -m src.train` with these words, without what happens a few times in a run, however long."""
    os.environ[PACKAGES] = "benchmarks"  # whose data sets and networks configs may name from now on
    with hydra.initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = plain(hydra.compose("train", ["trainer.accelerator=cpu", *words]))
    config["validation"] = {"every": 10**9, "samples": 10}
    config["checkpoint"]["every"] = 10**9
    config["samples"] = {"n": 1, "per_decade": 0}
    return config


def synthetic(*shape: int) -> list[str]:
    """Words for a data set of noise in this shape. The small digits classifier: nothing is to be downloaded."""
    return [
        "~data.source.folder",
        "data.source._target_=benchmarks.data.Noise",
        f"+data.source.shape={list(shape)}".replace(" ", ""),
        "evaluation.extractor=digits",
    ]


def milliseconds(
    config: dict[str, Any], updates: int, warmup: int, watch: Callable[[], None] = lambda: None, place: Place = ALONE.place
) -> float:
    """Of each of the last `updates` generator updates or so, by the clock, in a run of its own; logs included.

    watch: called after each block of updates. place: of several processes; this one's clock counts.
    """
    steps = warmup + updates
    marks: list[tuple[int, float]] = []

    class Stopwatch(Budget):
        def on_train_batch_end(self, trainer: Trainer, training: Training, *_: Any) -> None:
            if torch.cuda.is_available():
                torch.cuda.synchronize()  # what is still in its queue belongs to these updates
            super().on_train_batch_end(trainer, training)
            marks.append((training.model.step, self.seconds))
            watch()

    with tempfile.TemporaryDirectory() as folder, mock.patch("src.training.learn.Budget", Stopwatch), quiet():
        run = RunFolder(Path(folder) / "run" / "0")
        with run, Team(place) as team:
            run.write_config(config)
            fit.fit(config, run, build_dataset(config), steps, "images", team)
    # Updates come in blocks: from the end of the first that has warmed up, or of the very first update.
    start = next((mark for mark in marks[:-1] if mark[0] >= warmup), marks[0])
    step, seconds = marks[-1]
    assert step == steps > start[0]
    return (seconds - start[1]) / (step - start[0]) * 1e3
