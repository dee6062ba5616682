"""Where scalars and pictures of a run go: metrics.jsonl always, W&B beside it unless it is disabled."""

import json
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, Trainer

from src.models.model import Model
from src.schedules import is_every


class Record:
    """Every logged scalar, on our own step.

    A run that goes on from `step` drops what was logged after it: those steps are made again.
    """

    def __init__(self, folder: Path, step: int, wandb_run: Any = None) -> None:
        self.path = folder / "metrics.jsonl"
        self.wandb_run = wandb_run
        lines = self.path.read_text().splitlines() if self.path.is_file() else []
        kept = [line for line in map(parse, lines) if line and line["step"] <= step]
        self.path.write_text("".join(json.dumps(line) + "\n" for line in kept))
        self.file = self.path.open("a")

    def scalars(self, step: int, images_seen: int, values: dict[str, float]) -> None:
        line = {"step": step, "images_seen": images_seen, **values}
        self.file.write(json.dumps(line) + "\n")
        self.file.flush()
        if self.wandb_run:
            self.wandb_run.log(line)

    def picture(self, step: int, name: str, path: Path) -> None:
        if self.wandb_run:
            import wandb

            self.wandb_run.log({"step": step, name: wandb.Image(str(path))})

    def summary(self, values: dict[str, Any]) -> None:
        if self.wandb_run:
            self.wandb_run.summary.update(values)

    def close(self, exit_code: int = 0) -> None:
        self.file.close()
        if self.wandb_run:
            self.wandb_run.finish(exit_code=exit_code)


def parse(line: str) -> dict[str, Any] | None:
    """A line of metrics.jsonl; None for one that a crash cut short."""
    try:
        return json.loads(line)
    except json.JSONDecodeError:
        return None


def start_wandb(folder: Path, config: dict[str, Any]) -> Any:
    """A W&B run for this folder, never with a prompt; None where logger.mode=disabled."""
    if config["logger"]["mode"] == "disabled":
        return None
    import wandb

    name, seed = folder.parent.name, folder.name
    run = wandb.init(
        mode=config["logger"]["mode"],
        project=config["logger"]["project"],
        dir=folder,
        id=f"{name}-{seed}",
        name=f"{name}/{seed}",
        group=name,
        config=config,
        resume="allow" if config["logger"]["mode"] == "online" else None,
        settings=wandb.Settings(console="off", silent=True, save_code=False, disable_git=True),
    )
    run.define_metric("*", step_metric="step")
    return run


class LogScalars(Callback):
    """The model's own scalars, every `every` steps."""

    def __init__(self, record: Record, every: int) -> None:
        self.record, self.every = record, every

    def due(self, step: int) -> bool:
        return is_every(step, self.every) or step == 1

    def on_train_batch_end(self, trainer: Trainer, model: Model, *_: Any) -> None:
        if self.due(model.step):
            self.record.scalars(model.step, model.images_seen, model.scalars())
