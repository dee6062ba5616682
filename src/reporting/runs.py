"""Read run folders, full or published, into plain records. Nothing from their configs is instantiated."""

import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from src.config.errors import UserError
from src.config.identity import short_hash
from src.runs.folder import RunFolder
from src.runs.sounds import newest_sound

RECORD = ("main", "columns", "metrics", "controls", "control_names", "protocol")  # keys of a metrics.json
SET_ASIDE = re.compile(r"\.kept\d+$")  # name of an earlier run's folder that fresh=true kept


@dataclass(frozen=True)
class Run:
    """One seed of one recipe."""

    path: Path
    name: str  # the displayed path: relative to the working directory, or to the folder in runs=
    config: dict[str, Any]
    manifest: dict[str, Any]
    result: dict[str, Any] | None  # metrics.json
    recipe: str  # short hash of the config, the same for all seeds
    curve: dict[int, tuple[int, float]]  # step -> samples seen, value of the main metric on the validation split
    grid: Path | None  # many samples as PNG or text
    film: Path | None
    pairs: Path | None  # what samples are made from, samples, and what they should be
    retrieval: Path | None  # captions, each with the pictures that are found by it
    captions: Path | None  # captions, each with what is drawn of it
    sounds: dict[str, Path] = field(default_factory=dict)  # see src.runs.sounds

    @property
    def seed(self) -> int:
        return self.config["seed"]

    @property
    def ended(self) -> dict[str, Any]:
        return self.manifest.get("ended", {})

    @property
    def cost(self) -> dict[str, float]:
        """Parameters, training samples and CPU seconds, and CPU seconds of 1,000 samples, where they are known."""
        known = {
            "parameters": sum(self.manifest.get("parameters", {}).values()),
            "samples_seen": self.ended.get("samples_seen"),
            "cpu_seconds": self.ended.get("cpu_seconds"),
            **self.manifest.get("evaluation_cost", {}),
        }
        return {key: value for key, value in known.items() if value}

    @property
    def failed(self) -> bool:
        """Whether the training diverged; such a run counts as a result."""
        return self.ended.get("reason") == "diverged"

    @property
    def finished(self) -> bool:
        return bool(self.ended) and not self.failed and self.result is not None

    @property
    def state(self) -> str:
        return "finished" if self.finished else "diverged" if self.failed else "unfinished"

    @property
    def metrics(self) -> dict[str, float]:
        """Every number of the final evaluation; lists (shares of the classes) are left out."""
        found = self.result["metrics"] if self.result else {}
        return {key: float(value) for key, value in found.items() if isinstance(value, int | float)}

    @property
    def record(self) -> dict[str, Any]:
        """The final evaluation of a finished run."""
        assert self.result is not None, "a finished run"
        return self.result

    @property
    def main(self) -> str:
        """The metric that recipes are compared by."""
        return self.record["main"]["name"]


def find_runs(roots: str | list[str]) -> list[Run]:
    """All runs at or below the given paths, by recipe and seed.

    A run folder holds config.yaml and manifest.json. Runs set aside by fresh=true are skipped, and a run and its published
    copy count once. Raises UserError if a path is missing, nothing is found or a folder cannot be read.
    """
    paths: dict[Path, str] = {}
    for root in map(Path, [roots] if isinstance(roots, str) else roots):
        if not root.is_dir():
            raise UserError(f"runs={root} is no folder: name one that holds runs, such as runs or results/seeds")
        found = [config.parent for config in root.rglob("config.yaml") if (config.parent / "manifest.json").is_file()]
        found = [path for path in found if path == root or not SET_ASIDE.search(path.name)]
        if not found:
            raise UserError(
                f"no run at or below {root} (a folder with config.yaml and manifest.json): train one, "
                "python -m src.train model=mlp_gan, or name another folder"
            )
        paths |= {path.resolve(): _name(path, root) for path in found}
    return _unique([read_run(path, name) for path, name in paths.items()])


def read_run(path: Path, name: str) -> Run:
    folder = RunFolder(path)
    try:
        config = folder.config()
        run = Run(
            path=path,
            name=name,
            config=config,
            manifest=folder.manifest(),
            result=folder.result(),
            recipe=short_hash(config),
            curve=validation_curve(folder),
            grid=folder.last_preview() or next(path.glob("samples.*"), None),
            film=_if_there(folder.samples / "film.gif") or _if_there(path / "film.gif"),
            pairs=_if_there(folder.samples / "pairs.png") or _if_there(path / "pairs.png"),
            retrieval=_if_there(folder.samples / "retrieval.png") or _if_there(path / "retrieval.png"),
            captions=_if_there(folder.samples / "captions.png") or _if_there(path / "captions.png"),
            sounds=newest_sound(path),
        )
        _check(run)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        reason = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        raise UserError(f"{name} cannot be read ({' '.join(reason.split())}): fix it, or leave it out of runs=") from error
    return run


def _check(run: Run) -> None:
    """Raise ValueError if a run lacks something that the tables need."""
    if not (isinstance(run.config["data"]["name"], str) and isinstance(run.seed, int)):
        raise ValueError("data.name must be a word, seed a whole number")
    if not run.finished:
        return
    if missing := [key for key in RECORD if key not in run.record]:
        raise ValueError(
            f"metrics.json has no {' and no '.join(missing)}: python -m src.evaluate run={run.name} makes it again"
        )
    of_controls = [metrics[run.main] for metrics in run.record["controls"].values() if run.main in metrics]
    if not all(map(math.isfinite, [run.metrics[run.main], *of_controls])):
        raise ValueError(f"{run.main} is not a finite number")


def _if_there(path: Path) -> Path | None:
    return path if path.is_file() else None


def _name(path: Path, root: Path) -> str:
    """A path relative to the working directory, or to the folder in runs=: the same on every machine."""
    path, root, here = path.resolve(), root.resolve(), Path.cwd()
    if path.is_relative_to(here):
        return path.relative_to(here).as_posix()
    return path.relative_to(root.parent if path != root else root.parent.parent).as_posix()


def _unique(runs: list[Run]) -> list[Run]:
    """One run for each recipe and seed, the most complete one; raises UserError if two have different results."""
    kept: dict[tuple[str, int], Run] = {}
    for run in sorted(runs, key=lambda run: (run.recipe, run.seed, -_stage(run), run.name)):
        first = kept.setdefault((run.recipe, run.seed), run)
        if _stage(first) == _stage(run) and _outcome(first) != _outcome(run):
            raise UserError(
                f"{first.name} and {run.name} are the same config and seed with different results: leave one out of runs="
            )
    return [*kept.values()]


def _stage(run: Run) -> int:
    """Progress of a run: 0 started, 1 trained, 2 evaluated or diverged."""
    return bool(run.ended) + (run.state != "unfinished")


def _outcome(run: Run) -> tuple[Any, ...]:
    """The parts of a run that a second training must reproduce; the cost may differ."""
    ended = [run.ended.get(key) for key in ("reason", "step", "best_step", "best")]
    return run.result, run.manifest.get("final_weights"), ended


def validation_curve(run: RunFolder) -> dict[int, tuple[int, float]]:
    """step -> (samples seen, value of the main metric on the validation split), from metrics.jsonl."""
    curve = {}
    for line in run.scalars():
        for key, value in line.items():
            if key.startswith("validation/"):
                curve[int(line["step"])] = (int(line["samples_seen"]), float(value))
    return curve
