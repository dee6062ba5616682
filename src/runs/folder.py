"""The run folder holds all output of one run; later steps read nothing else.

config.yaml        resolved, plain containers
manifest.json      code, machine and data of the run, hashes of the weights before and after, how it ended
checkpoints/       files that are written atomically, each with a SHA-256 file
samples/           step-numbered grids, the film
metrics.jsonl      every logged scalar
metrics.json       the final evaluation with its protocol
review.jsonl       people's judgements of samples
tokenizer.json     what the data set has learned, if anything (src.runs.learned)

A published folder is the part that a repository keeps (`src.runs.publish`): no checkpoints, one preview (samples.png); of a
flagship also the film, the sound or moving clips, and the network (weights.safetensors).
"""

import contextlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import filelock
import yaml
from omegaconf import OmegaConf

from src.config.checks import validate
from src.config.errors import UserError, nearest
from src.config.experiment import Experiment
from src.config.home import home, within_home
from src.config.identity import data_digest, differences, with_data_in, with_path
from src.data.spec import Spec
from src.runs.checkpoints import drop_checkpoint, is_intact, step_of
from src.runs.learned import kept
from src.runs.manifest import data_changes
from src.system.files import read_json, remove_leftovers, write_atomic, write_json

# Keys that every run's config has.
SECTIONS = {"seed": int, "name": str, **dict.fromkeys(("data", "model", "trainer", "evaluation", "stop"), dict)}
DIGIT = "[0-9]"
START_AGAIN = "restore an intact copy, or train again with fresh=true"


class RunFolder:
    """One run's folder. As a context manager it is locked by one process at a time; the lock of a killed process is free."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = path / "checkpoints"
        self.samples = path / "samples"
        self._lock = filelock.FileLock(path / ".lock")

    @classmethod
    def existing(cls, path: str | Path) -> "RunFolder":
        """The folder of a run that has been started; raises UserError for any other path."""
        run = cls(Path(path))
        if not run.started():
            near = (*run.path.glob("*/config.yaml"), *run.path.parent.glob("*/config.yaml"))  # the seeds of a run come first
            runs = [str(found.parent) for found in near]
            runs = runs or [str(found.parent) for found in (home() / "runs").glob("*/*/config.yaml")]
            hint = nearest(str(run.path), runs) if runs else "train one first: python -m src.train model=mlp_gan"
            raise UserError(f"run={path} is not a run folder (no config.yaml in it): {hint}")
        return run

    def __enter__(self) -> Self:
        try:
            for folder in (self.path, self.checkpoints, self.samples):
                folder.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=0)
            remove_leftovers(self.path)
        except filelock.Timeout:
            raise UserError(f"{self.path} is held by another process: wait for it, or choose another run_dir=") from None
        except OSError as error:
            raise UserError(
                f"cannot write to {self.path} ({error.strerror}): make it writable, or train elsewhere (run_dir=, paths.runs=)"
            ) from error
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()
        if self.empty():  # an error came before the run began
            (self.path / ".lock").unlink(missing_ok=True)
            for folder in (self.checkpoints, self.samples, self.path):
                with contextlib.suppress(OSError):  # something else lies in it
                    folder.rmdir()

    def set_aside(self) -> None:
        """Rename the folder of an earlier run to <name>.kept<number>; raises UserError while a process holds it."""
        if not self.empty():
            number = 1
            while (kept := self.path.with_name(f"{self.path.name}.kept{number}")).exists():
                number += 1
            with self:
                self.path.rename(kept)
            print(f"the earlier run is kept as {kept}")

    # Config and manifest

    def started(self) -> bool:
        return (self.path / "config.yaml").is_file()

    def empty(self) -> bool:
        """Whether no earlier run has left anything here."""
        return not (self.started() or (self.path / "manifest.json").is_file() or any(self.checkpoints.glob("*.ckpt")))

    def config(self, trusted: bool = True) -> dict[str, Any]:
        """The run's config. trusted: False if objects are built from it, because a folder may come from someone else."""
        path = self.path / "config.yaml"
        try:
            config: dict[str, Any] = OmegaConf.to_container(OmegaConf.load(path))  # type: ignore[assignment]
        except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:  # OSError: not a mapping
            raise UserError(f"{path} is damaged ({' '.join(str(error).split())}): {START_AGAIN}") from error
        for name, kind in SECTIONS.items():
            if not isinstance(config.get(name), kind):
                raise UserError(f"{path} is damaged (no {name} in it): {START_AGAIN}")
        validate(config, trusted=trusted)
        if "path" in config["data"] and (hashes := self.made_with().get("data")):
            config["data"].setdefault("digest", data_digest(hashes))  # early configs have none
        return config

    def experiment(self, data: str | None = None, path: str | None = None, **overrides: Any) -> Experiment:
        """The experiment of the run's config, with `overrides` of its sections.

        data: the folder where downloaded data are now, None for the config's own, in AIGC_HOME if that is set and the path is
        relative. path: likewise of the user's own data.
        Raises UserError if the config is damaged or names a class that an untrusted config may not build.
        """
        config = self.config(trusted=False)
        if data is None and (own := config.get("paths", {}).get("data")):
            data = within_home(own)  # relative in a run that was trained without AIGC_HOME
        config = with_data_in(data, config)
        if path is not None and "path" not in config["data"]:
            raise UserError(f"data.path={path}: {self.path} has no data of yours: leave it out, paths.data= is for all others")
        try:
            config = (config if path is None else with_path(path, config)) | overrides
            return Experiment(config, trusted=False, learned=self.learned())
        except (KeyError, TypeError) as error:
            damaged = self.path / "config.yaml"
            raise UserError(f"{damaged} is damaged or of an earlier version ({error}): {START_AGAIN}") from error

    def spec(self) -> Spec | None:
        """The spec of the training data; None before the training has started."""
        record = self.manifest().get("spec")
        try:
            return Spec.from_record(record) if record else None
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise UserError(f"{self.path / 'manifest.json'} is damaged (spec: {error}): {START_AGAIN}") from error

    def learned(self) -> dict[str, bytes]:
        """What the run's data set has learned, by file name; UserError for a damaged file."""
        return kept(self.path, self.manifest().get("learned", {}))

    def write_config(self, config: dict[str, Any]) -> None:
        write_atomic(self.path / "config.yaml", OmegaConf.to_yaml(OmegaConf.create(config)).encode())

    def manifest(self) -> dict[str, Any]:
        path = self.path / "manifest.json"
        manifest = read_json(path, START_AGAIN) if path.is_file() else {}
        if not isinstance(manifest.get("ended", {}), dict):
            raise UserError(f"{path} is damaged (ended is no JSON object): {START_AGAIN}")
        return manifest

    def made_with(self) -> dict[str, Any]:
        """The manifest; if the run was continued with changes (on_change=accept), with its latest code, machine and data."""
        manifest = self.manifest()
        return manifest | manifest.get("continued", [{}])[-1].get("with", {})

    def begin_manifest(self, **fields: Any) -> None:
        """Write a new manifest. It replaces that of an earlier training without an intact checkpoint."""
        write_json(self.path / "manifest.json", fields)

    def update_manifest(self, **fields: Any) -> None:
        write_json(self.path / "manifest.json", self.manifest() | fields)

    def changes(self, config: dict[str, Any], data_hashes: dict[str, str]) -> list[str]:
        """How config and data differ from the run's own, as text; empty if they do not."""
        before = self.made_with().get("data", data_hashes)
        return [
            *(change for change in differences(self.config(), config) if not change.startswith("data.digest:")),
            *data_changes(before, data_hashes),
        ]

    def finished(self) -> bool:
        return "ended" in self.manifest()

    def complete(self, config: Mapping[str, Any]) -> bool:
        """Whether the run already has everything that the config asks for."""
        ended = self.manifest().get("ended", {})
        return ended.get("reason") == "diverged" or (bool(ended) and (self.result() is not None or not config["evaluate"]))

    def scalars(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl, except any that a crash cut short; empty without a file."""
        path, lines = self.path / "metrics.jsonl", []
        for text in path.read_text(errors="replace").splitlines() if path.is_file() else []:
            with contextlib.suppress(json.JSONDecodeError):
                lines.append(json.loads(text))
        return lines

    @property
    def directions(self) -> Path:
        """The record that `python -m src.directions` writes."""
        return self.path / "directions" / "directions.json"

    def last_preview(self) -> Path | None:
        return max(self.samples.glob("step-*"), default=None)

    # Checkpoints

    def checkpoint(self, which: str = "best") -> Path:
        """The "best" checkpoint by validation (the last one if there was none), or the "last"; UserError without one."""
        found = (self.newest("best") if which == "best" else None) or self.newest("step")
        if found is None and self.is_published():
            raise UserError(f"{self.path} is published without checkpoints: train it again by its config.yaml, or `make repro`")
        if found is None:
            raise UserError(
                f"{self.path} has no intact checkpoint: copy its checkpoints/ again, or train it again with fresh=true"
            )
        return found

    def is_published(self) -> bool:
        kept = self.path / "weights.safetensors", *self.path.glob("samples.*")
        return not self.checkpoints.exists() and any(path.is_file() for path in kept)

    def weights(self, which: str = "best") -> Path:
        """The checkpoint to take; of a published run the network of its best one. UserError without one."""
        network = self.path / "weights.safetensors"
        return network if which == "best" and self.is_published() and network.is_file() else self.checkpoint(which)

    def newest(self, kind: str) -> Path | None:
        """The newest "step" or "best" checkpoint that is intact; damaged ones are named and skipped."""
        for path in reversed(self.own(kind)):
            if is_intact(path):
                return path
            print(f"checkpoint {path} is damaged, the one before it is used", file=sys.stderr)
        return None

    def own(self, kind: str = "*") -> list[Path]:
        """The "step" or "best" checkpoints, oldest first; a user's ModelCheckpoint may write others to the same folder."""
        return sorted(self.checkpoints.glob(f"{kind}-{DIGIT * 9}.ckpt"))

    def checkpoint_path(self, kind: str, step: int) -> Path:
        return self.checkpoints / f"{kind}-{step:09d}.ckpt"

    def prune(self, kind: str, keep: int) -> None:
        """Delete all but the newest `keep` checkpoints of a kind."""
        for path in self.own(kind)[:-keep]:
            drop_checkpoint(path)

    def drop_later(self, kind: str, step: int) -> None:
        """Delete the checkpoints of a kind from steps after this one: those steps are recomputed."""
        for path in self.own(kind):
            if step_of(path) > step:
                drop_checkpoint(path)

    def result(self) -> dict[str, Any] | None:
        """The final evaluation, None if there is none yet."""
        path, remedy = self.path / "metrics.json", "delete it and repeat the command"
        result = read_json(path, remedy) if path.is_file() else None
        if result is not None and "metrics" not in result:
            raise UserError(f"{path} is damaged (no metrics in it): {remedy}")
        return result

    def drop_results(self) -> None:
        """Delete the metrics files of a run whose training continues: they belong to an earlier checkpoint."""
        for path in self.path.glob("metrics*.json"):
            path.unlink()
