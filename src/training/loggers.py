"""Write the scalars and pictures of a run: always to metrics.jsonl, and also to Lightning's loggers."""

import inspect
import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger, WandbLogger

from src.config.errors import UserError
from src.runs.folder import RunFolder
from src.system.files import write_atomic


class Record:
    """Writes every logged scalar, with the model's own step.

    A run that resumes from `step` drops the lines after it: those steps are recomputed. The kept lines go to `loggers` again
    (`replay`), because their files start empty at each resume.
    """

    def __init__(self, folder: Path, step: int, loggers: Sequence[Logger] = (), replay: bool = True) -> None:
        self.path, self.loggers = folder / "metrics.jsonl", list(loggers)
        kept = [line for line in RunFolder(folder).scalars() if line["step"] <= step]
        write_atomic(self.path, "".join(json.dumps(line) + "\n" for line in kept).encode())
        self.file = self.path.open("a")
        self._last = [line for line in kept if line["step"] == step]
        if replay and self.loggers:
            for line in kept:
                self.tell(line["step"], {name: value for name, value in line.items() if name != "step"})
            for name, files in (("samples", "step-*"), ("sound", "sound-*.wav"), ("moving", "moving-*.gif")):
                for path in sorted((folder / "samples").glob(files)):
                    if (drawn_at := int(path.stem.rpartition("-")[2])) <= step:
                        self.picture(drawn_at, name, path)

    def scalars(self, step: int, samples_seen: int, values: Mapping[str, float], tell: bool = True) -> None:
        """Write a line. tell: also send it to the loggers, if Lightning does not."""
        line = {"step": step, "samples_seen": samples_seen, **values}
        if line in self._last:  # already written, after this step's checkpoint
            return
        self.file.write(json.dumps(line) + "\n")
        self.file.flush()
        if tell:
            self.tell(step, {"samples_seen": samples_seen, **values})

    def tell(self, step: int, values: Mapping[str, float]) -> None:
        for logger in self.loggers:
            logger.log_metrics(dict(values), step)

    def picture(self, step: int, name: str, path: Path) -> None:
        """Send a preview to W&B: an image, a sound, a GIF that moves, or a text as a table."""
        for logger in self.loggers:
            if isinstance(logger, WandbLogger) and path.suffix == ".png":
                logger.log_image(name, [str(path)], step=step)
            elif isinstance(logger, WandbLogger) and path.suffix == ".wav":
                import wandb

                # Not by log_audio: lists of sounds need the package soundfile.
                logger.log_metrics({name: wandb.Audio(str(path))}, step)  # type: ignore[dict-item]
            elif isinstance(logger, WandbLogger) and path.suffix == ".gif":
                import wandb

                logger.log_metrics({name: wandb.Video(str(path))}, step)  # type: ignore[dict-item]
            elif isinstance(logger, WandbLogger) and path.suffix == ".txt":
                logger.log_text(name, columns=["step", "text"], data=[[str(step), path.read_text("utf-8")]], step=step)

    def sync(self) -> None:
        """Wait until all lines so far are on the disk."""
        os.fsync(self.file.fileno())

    def close(self, exit_code: int = 0) -> None:
        self.file.close()
        for logger in self.loggers:
            logger.save()
            if isinstance(logger, WandbLogger):
                logger.experiment.finish(exit_code=exit_code)


class NoRecord(Record):
    """A record that writes nothing, for ranks other than 0."""

    def __init__(self) -> None:
        self.loggers = []

    def scalars(self, step: int, samples_seen: int, values: Mapping[str, float], tell: bool = True) -> None:
        pass

    def sync(self) -> None:
        pass

    def close(self, exit_code: int = 0) -> None:
        pass


def make_loggers(factories: Mapping[str, Any], config: Mapping[str, Any], folder: Path, runs: Path) -> list[Logger]:
    """Create the loggers of a run, with empty folders in the run folder, and give them the config.

    factories: by name, called with `save_dir`; W&B's also with id, name and group. runs: the folder of all runs. UserError if
    a package is missing or W&B refuses.
    """
    os.environ.setdefault("WANDB_SILENT", "true")  # hides messages on its own settings
    loggers = []
    for key, make in factories.items():
        given: dict[str, Any] = {"save_dir": folder}
        if "id" in inspect.signature(make).parameters:  # W&B's
            given |= wandb_names(folder, runs)
            given["save_dir"] = os.environ.get("WANDB_DIR") or folder
            if tags := os.environ.get("WANDB_TAGS"):
                given["tags"] = tags.split(",")
            if os.environ.get("WANDB_DISABLED", "").lower() in ("true", "1", "yes"):
                given["mode"] = "disabled"
            if getattr(make, "keywords", {}).get("mode") != "online":  # online, W&B resumes the run itself
                shutil.rmtree(folder / "wandb", ignore_errors=True)
        else:
            shutil.rmtree(folder / key, ignore_errors=True)
        try:
            if "id" in given:
                import wandb

                wandb.setup()  # is silent only from here on: Lightning passes a deprecated setting, of which W&B warns
            logger = make(**given)
            logger.log_hyperparams(dict(config))
        except ModuleNotFoundError as error:
            raise UserError(f"logger={key} needs a package that is not installed ({error}): install it") from error
        except TypeError as error:  # of an argument that the logger passes on
            raise UserError(f"logger.{key}: {' '.join(str(error).split())}: see the arguments of this logger") from error
        except Exception as error:
            if not type(error).__module__.startswith("wandb"):
                raise
            reason = " ".join(str(error).split())
            raise UserError(f"W&B says: {reason} (or take logger.wandb.mode=offline, or logger=none)") from error
        loggers.append(logger)
    return loggers


def wandb_names(folder: Path, runs: Path) -> dict[str, str]:
    """A run's id, name and group in W&B: the environment's, or from the path of its folder."""
    path, runs = folder.resolve(), runs.resolve()
    within = path.relative_to(runs).parts if path.is_relative_to(runs) else ()
    *parts, seed = within if len(within) > 1 else path.parts[-2:]
    name = "-".join(parts)  # for a trial or a confirmation it includes the sweep's folder
    unsafe = re.compile(r"[:;,#?/']")  # characters that W&B refuses
    own = {"id": unsafe.sub("_", f"{name}-{seed}"), "name": f"{name}/{seed}", "group": name}
    variables = {"id": "WANDB_RUN_ID", "name": "WANDB_NAME", "group": "WANDB_RUN_GROUP"}
    return {key: os.environ.get(variable) or own[key] for key, variable in variables.items()}
