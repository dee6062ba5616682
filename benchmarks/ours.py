"""Measure our whole pipeline: config, run folder, memory-mapped data, Lightning, W&B offline, progress."""

import tempfile
import time
from pathlib import Path
from typing import Any

import hydra
import torch
from pytorch_lightning import Callback, Trainer

from benchmarks.timing import now, quiet
from src.config.checks import plain
from src.config.experiment import Experiment
from src.models.model import Model
from src.train import train

ROOT = Path(__file__).parent.parent


class Stopwatch(Callback):
    """Notes (step, seconds on the clock) after each block of updates."""

    def __init__(self) -> None:
        self.marks.clear()

    marks: list[tuple[int, float]] = []  # noqa: RUF012  shared: the run builds its own instance

    def on_train_batch_end(self, trainer: Trainer, model: Model, *_: Any) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()  # queued kernels belong to these updates
        self.marks.append((model.step, now()))


class CPUWatch(Callback):
    """Notes (images seen, CPU seconds) after each block of updates, and stops after `seconds`."""

    marks: list[tuple[int, float]] = []  # noqa: RUF012  shared: the run builds its own instance

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.marks.clear()

    def on_train_batch_end(self, trainer: Trainer, model: Model, *_: Any) -> None:
        self.marks.append((model.samples_seen, time.process_time()))
        trainer.should_stop = self.marks[-1][1] - self.marks[0][1] >= self.seconds


def compose(*words: str) -> dict[str, Any]:
    """The config of `python -m src.train` with these words, with the fewest possible validations, previews and checkpoints."""
    with hydra.initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = plain(hydra.compose("train", ["trainer.accelerator=cpu", *words]))
    config |= {"evaluate": False, "samples": {"n": 1, "per_decade": 0}}
    config["validation"] = {"every": 10**9, "samples": 10}
    config["evaluation"]["validation_samples"] = 10
    config["checkpoint"]["every"] = 10**9
    config["callbacks"] = {"stopwatch": {"_target_": "benchmarks.ours.Stopwatch"}}
    return config


def synthetic(*shape: int) -> list[str]:
    """Words for a data set of noise in this shape, with the small digits classifier, so that nothing is downloaded."""
    return [
        "~data.source.folder",
        "data.source._target_=benchmarks.data.Noise",
        f"+data.source.shape={list(shape)}".replace(" ", ""),
        "evaluation.extractor=digits",
    ]


def build(config: dict[str, Any]) -> Any:
    """The recipe's model."""
    return Experiment(config).model(Experiment(config).dataset.spec)


def milliseconds(config: dict[str, Any], updates: int, warmup: int) -> float:
    """Milliseconds per update (of a GAN: of the generator), logging included, over about the last `updates` of a new run."""
    samples = (warmup + updates) * config["data"]["batch_size"] * config["model"].get("d_steps", 1)
    stop = {"epochs": None, "samples": samples, "minutes": None, "target": None}
    with tempfile.TemporaryDirectory() as folder, quiet():
        train({**config, "stop": stop, "run_dir": f"{folder}/run/0"})
    # Updates come in blocks: measure from the end of the first block after the warm-up, else of the first block.
    marks = Stopwatch.marks
    start = next((mark for mark in marks[:-1] if mark[0] >= warmup), marks[0])
    step, seconds = marks[-1]
    assert step == warmup + updates > start[0]
    return (seconds - start[1]) / (step - start[0]) * 1e3
