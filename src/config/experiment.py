"""The objects and settings that a config describes. Code below the commands gets these, never the config itself."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from src.config.build import instantiate
from src.config.errors import UserError
from src.config.identity import data_digest, short_hash

# Arguments of pl.Trainer that would bypass the model's clock -> the setting to use instead.
INSTEAD = {
    "max_epochs": "stop.epochs=, with stop.samples=null, as the first limit counts",
    "max_steps": "stop.samples",
    "max_time": "stop.minutes",
    "min_epochs": "stop.epochs",
    "min_steps": "stop.samples",
    "limit_train_batches": "stop.samples",
    "overfit_batches": "a smaller data set",
    "fast_dev_run": "debug=tiny, or a small stop.samples",
    "num_nodes": "torchrun or srun, which say how many there are",
    "logger": "logger=",
    "callbacks": "callbacks=",
    "plugins": "a callback",
}


TUNERS = ("BatchSizeFinder", "LearningRateFinder")  # callbacks of Lightning that are refused


@dataclass(frozen=True)
class StopRule:
    """When a training ends: at the first limit that is reached.

    epochs, samples: real samples shown. minutes: training time, summed over resumes. target: value of the suite's main metric
    on the validation split. UserError if all are None.
    """

    epochs: float | None = None
    samples: float | None = None
    minutes: float | None = None
    target: float | None = None

    def __post_init__(self) -> None:
        if all(value is None for value in (self.epochs, self.samples, self.minutes, self.target)):
            raise UserError("the run would never end: set stop.epochs, stop.samples, stop.minutes or stop.target")

    def last_step(self, train_samples: int, samples_per_update: int) -> tuple[int | None, str]:
        """(step at which the samples or epochs are used up, "samples" or "epochs"); (None, "") without such a limit."""
        budgets = {"samples": self.samples, "epochs": self.epochs and self.epochs * train_samples}
        known = {reason: count for reason, count in budgets.items() if count is not None}
        if not known:
            return None, ""
        reason = min(known, key=lambda name: known[name])
        return max(1, math.floor(known[reason] / samples_per_update)), reason


@dataclass(frozen=True)
class Cadence:
    """How often things happen during training.

    log, validate, checkpoint: intervals in steps. keep: checkpoints that are kept besides the best one. previews: number of
    samples drawn at log-spaced steps, per_decade times in each power of ten.
    """

    log: int
    validate: int | None
    checkpoint: int
    keep: int
    previews: int
    per_decade: int


@dataclass(frozen=True)
class TrainerSettings:
    """How and where a training is computed.

    threads: CPU threads of torch, None for torch's default. block: largest number of updates per Lightning batch. profile:
    number of updates to trace, None for none. arguments: further arguments of `pl.Trainer`.
    """

    accelerator: str
    devices: int | str
    strategy: str
    sync_batchnorm: bool
    precision: str
    deterministic: bool
    threads: int | None
    matmul_precision: str
    channels_last: bool
    profile: int | None
    block: int
    arguments: Mapping[str, Any]

    @classmethod
    def read(cls, trainer: Mapping[str, Any]) -> Self:
        own = {field.name for field in fields(cls)} - {"arguments"}
        arguments = {name: value for name, value in trainer.items() if name not in own}
        for name in arguments:
            if name in INSTEAD:
                raise UserError(f"trainer.{name}: runs are counted in samples, so say it by {INSTEAD[name]}")
        return cls(**{name: trainer[name] for name in own}, arguments=arguments)


class Experiment:
    """The parts of one config; data set and suite are built on first use.

    trusted: whether the user typed the config; one from a run folder may build fewer classes (`checks.check_target`).
    learned: what a run's data set has learned, by file name (see src.data.dataset.Learns); empty if it is to learn anew.
    """

    def __init__(self, config: Mapping[str, Any], trusted: bool = True, learned: Mapping[str, bytes] | None = None) -> None:
        self.config, self.trusted, self.learned = dict(config), trusted, learned or {}
        self.name, self.seed = config["name"], config["seed"]
        self.batch_size, self.workers = config["data"]["batch_size"], config["data"]["workers"]
        self.stop = StopRule(**config["stop"])
        self.cadence = Cadence(
            log=config["log"]["every"],
            validate=config["validation"] and config["validation"]["every"],
            checkpoint=config["checkpoint"]["every"],
            keep=config["checkpoint"]["keep"],
            previews=config["samples"]["n"] if config["samples"] else 0,
            per_decade=config["samples"]["per_decade"] if config["samples"] else 0,
        )
        self.trainer = TrainerSettings.read(config["trainer"])

    @property
    def path(self) -> Path:
        """The run's folder: runs/<name>-<data>-<hash of the config>/<seed>, unless the config says run_dir.

        The user's own data must be prepared: their digest is part of the hash.
        """
        if self.config["run_dir"]:
            return Path(self.config["run_dir"])
        self.identify()
        name = f"{self.name}-{self.config['data']['name']}-{short_hash(self.config)}"
        return Path(self.config["paths"]["runs"]) / name / str(self.seed)

    def identify(self) -> None:
        """Write the digest of the user's own, prepared data into the config, where it counts instead of `data.path`."""
        if "path" in self.config["data"]:
            self.config["data"] = self.config["data"] | {"digest": data_digest(self.dataset.hashes())}

    @property
    def cache(self) -> Path:
        return Path(self.config["paths"]["cache"])

    @cached_property
    def dataset(self) -> Any:
        """A src.data.dataset.Dataset."""
        return self.restored(self.build("data", "source"))

    @cached_property
    def suite(self) -> Any:
        """A src.evaluation.suite.Suite."""
        return self.build("evaluation")

    def modality(self, spec: Any) -> Any:
        """A src.modalities.modality.Modality."""
        return self.restored(self.build("data", "modality")(spec=spec))

    def restore(self, learned: Mapping[str, bytes]) -> None:
        """Go on with what a run's data set has learned."""
        self.learned = learned
        self.restored(self.dataset)

    def restored(self, part: Any) -> Any:
        """The data set or modality, which takes what was learned, if it uses anything of the kind."""
        if self.learned and hasattr(part, "restore"):
            part.restore(self.learned)
        return part

    @property
    def modality_suffix(self) -> str:
        """The suffix of the modality's files: ".png", ".txt"."""
        return self.build("data", "modality").func.suffix

    def model(self, spec: Any) -> Any:
        """The src.models.model.Model for data of this spec; its initial weights are a function of the seed.

        UserError if the model does not support such data.
        """
        from src.training import rng

        rng.seed_layers(self.seed, step=-1)
        build = self.build("model")
        try:
            return build(spec=spec, seed=self.seed)
        except ValueError as error:
            raise UserError(f"model: {error}") from error

    @property
    def fit_settings(self) -> dict[str, Any]:
        """The arguments of src.training.fit.fit that every training of this config has."""
        return {
            "cadence": self.cadence,
            "settings": self.trainer,
            "batch_size": self.batch_size,
            "workers": self.workers,
        }

    def check_parts(self) -> None:
        """Raise UserError for what a training cannot be built from, before anything is written; imports torch."""
        self.build("model")
        self.callbacks()
        self.loggers()

    def callbacks(self) -> list[Any]:
        """The user's Lightning callbacks."""
        from pytorch_lightning import Callback

        found = {name: self.build("callbacks", name) for name, value in (self.config["callbacks"] or {}).items() if value}
        for name, callback in found.items():
            if not isinstance(callback, Callback):
                raise UserError(f"callbacks.{name}: must be a Lightning callback: callbacks.{name}._target_=package.Class")
            if type(callback).__name__ in TUNERS:
                raise UserError(f"callbacks.{name}: {type(callback).__name__} changes a run behind its config: set the value")
        return list(found.values())

    def loggers(self) -> dict[str, Any]:
        """Functions that make Lightning's loggers, by name."""
        found = {name: value for name, value in (self.config["logger"] or {}).items() if value}
        for name, value in found.items():
            if not (isinstance(value, Mapping) and "_target_" in value):
                raise UserError(f"logger.{name}: must be settings with a _target_, such as those in conf/logger")
        return {
            name: instantiate({**value, "_partial_": True}, f"logger.{name}", self.trusted) for name, value in found.items()
        }

    def build(self, *keys: str) -> Any:
        """The object that the config describes under these keys."""
        value: Any = self.config
        for key in keys:
            value = value[key]
        return instantiate(value, ".".join(keys), self.trusted)
