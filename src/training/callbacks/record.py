"""Where scalars and pictures of a run go: metrics.jsonl always, W&B beside it unless it is disabled."""

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, Trainer

from src.config.errors import UserError
from src.models.training import Training
from src.parallel.collectives import mean_of_scalars
from src.runs.folder import RunFolder
from src.system.files import write_atomic
from src.training.schedules import is_every


class Record:
    """Every logged scalar, on our own step.

    A run that goes on from `step` drops what was logged after it: those steps are made again. W&B gets what is kept once
    more, where `wandb_run` is a new one that stands for the whole run (`replay`).
    """

    def __init__(self, folder: Path, step: int, wandb_run: Any = None, replay: bool = False) -> None:
        self.path = folder / "metrics.jsonl"
        self.wandb_run = wandb_run
        kept = [line for line in RunFolder(folder).scalars() if line["step"] <= step]
        write_atomic(self.path, "".join(json.dumps(line) + "\n" for line in kept).encode())
        self.file = self.path.open("a")
        self._last = [line for line in kept if line["step"] == step]
        if replay and wandb_run:
            for line in kept:
                wandb_run.log(line)
            for path in sorted((folder / "samples").glob("step-*.png")):
                if (drawn_at := int(path.stem.removeprefix("step-"))) <= step:
                    self.picture(drawn_at, "samples", path)

    def scalars(self, step: int, images_seen: int, values: dict[str, float]) -> None:
        line = {"step": step, "images_seen": images_seen, **values}
        if line in self._last:  # measured and written after the checkpoint of this step, and now once more
            return
        self.file.write(json.dumps(line) + "\n")
        self.file.flush()
        if self.wandb_run:
            self.wandb_run.log(line)

    def picture(self, step: int, name: str, path: Path) -> None:
        if self.wandb_run:
            import wandb

            self.wandb_run.log({"step": step, name: wandb.Image(str(path))})

    def sync(self) -> None:
        """Wait until all lines so far would survive a power cut."""
        os.fsync(self.file.fileno())

    def close(self, exit_code: int = 0) -> None:
        self.file.close()
        if self.wandb_run:
            self.wandb_run.finish(exit_code=exit_code)


class Nowhere:
    """The record of a process that writes nothing."""

    def scalars(self, step: int, images_seen: int, values: dict[str, float]) -> None:
        pass

    def picture(self, step: int, name: str, path: Path) -> None:
        pass

    def sync(self) -> None:
        pass

    def close(self, exit_code: int = 0) -> None:
        pass


def start_wandb(folder: Path, config: dict[str, Any]) -> Any:
    """A W&B run for this folder, never with a prompt; None where logger.mode=disabled."""
    if config["logger"]["mode"] == "disabled":
        return None
    import wandb

    if config["logger"]["mode"] == "offline":
        # What an interrupted sitting left may hold steps that are made again now: the new files tell the whole run.
        for sitting in folder.glob("wandb/offline-run-*"):
            shutil.rmtree(sitting, ignore_errors=True)
    runs = Path(config["paths"]["runs"]).resolve()
    path = folder.resolve()
    within = path.relative_to(runs).parts if path.is_relative_to(runs) else ()
    *parts, seed = within if len(within) > 1 else path.parts[-2:]
    name = "-".join(parts)  # of a trial or a confirmation also its sweep's
    try:
        run = wandb.init(
            mode=config["logger"]["mode"],
            project=config["logger"]["project"],
            dir=folder,
            id=re.sub(r"[:;,#?/']", "_", f"{name}-{seed}"),  # signs that W&B refuses
            name=f"{name}/{seed}",
            group=name,
            config=config,
            resume="allow" if config["logger"]["mode"] == "online" else None,
            settings=wandb.Settings(console="off", silent=True, save_code=False, disable_git=True),
        )
    except wandb.errors.Error as error:
        reason = " ".join(str(error).split())
        raise UserError(f"W&B says: {reason} (or take logger.mode=offline or disabled)") from error
    run.define_metric("*", step_metric="step")
    return run


class LogScalars(Callback):
    """The model's own scalars, every `every` steps: means over the processes, as each has measured its part of the batch."""

    def __init__(self, record: Record | Nowhere, every: int) -> None:
        self.record, self.every = record, every

    def due(self, step: int) -> bool:
        return is_every(step, self.every) or step == 1

    def on_train_batch_end(self, trainer: Trainer, training: Training, *_: Any) -> None:
        model = training.model
        if self.due(model.step):
            self.record.scalars(model.step, model.images_seen, mean_of_scalars(model.scalars()))
