"""Run folders, full or published, as plain records. What lies in them is data: nothing is instantiated."""

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from src.config.checks import short_hash
from src.config.errors import UserError
from src.runs.folder import RunFolder

ANCHORS = ("real", "noise", "training_copies")
SET_ASIDE = re.compile(r"\.kept\d+$")  # what fresh=true keeps of an earlier run


@dataclass(frozen=True)
class Run:
    """One seed of one recipe."""

    path: Path
    name: str  # the path for people: relative to where the command is run, or to the folder that was asked for
    config: dict[str, Any]
    manifest: dict[str, Any]
    result: dict[str, Any] | None  # metrics.json
    recipe: str  # short hash of the config, the same for all seeds
    curve: dict[int, tuple[int, float]]  # step -> images seen, validation distance
    grid: Path | None
    film: Path | None

    @property
    def seed(self) -> int:
        return self.config["seed"]

    @property
    def ended(self) -> dict[str, Any]:
        return self.manifest.get("ended", {})

    @property
    def minutes_per_image(self) -> float:
        """Of training, with validation and sample grids; 0 where it is not known."""
        images = self.ended.get("images_seen")
        return self.ended.get("seconds", 0) / 60 / images if images else 0.0

    @property
    def failed(self) -> bool:
        """The training came to no end: a result like others, and counted."""
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
    def main(self) -> str:
        """The metric that recipes are compared by: the Fréchet distance, under the name that its extractor gives it."""
        return next(key for key in self.metrics if key == "fid" or key.startswith("fd_"))


def find_runs(roots: str | list[str]) -> list[Run]:
    """All runs at or below the given paths, by recipe and seed.

    A run folder holds config.yaml and manifest.json. Runs set aside by fresh=true are passed over, and a run and its
    published copy count once. Raises UserError where a path is missing, nothing is found or a folder cannot be read.
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
    runs = [read_run(path, name) for path, name in paths.items()]
    return _once(sorted(runs, key=lambda run: (run.recipe, run.seed, run.name)))


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
            grid=folder.last_grid() or _if_there(path / "samples.png"),
            film=_if_there(folder.samples / "film.gif") or _if_there(path / "film.gif"),
        )
        _check(run)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, StopIteration, yaml.YAMLError) as error:
        reason = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        raise UserError(f"{name} cannot be read ({' '.join(reason.split())}): mend it, or leave it out of runs=") from error
    return run


def _check(run: Run) -> None:
    """Stumble now, with the folder's name at hand, over what all later steps take for granted."""
    names = run.config["name"], run.config["data"]["name"], run.config["evaluation"]["extractor"]
    if not (all(isinstance(name, str) for name in names) and isinstance(run.seed, int)):
        raise ValueError("name, data.name and evaluation.extractor must be words, seed a whole number")
    for key in ("step", "images_seen", "seconds", "cpu_seconds", "cpu_energy_joules", "peak_memory_mb", "gpu_peak_memory_mb"):
        if not isinstance(run.ended.get(key, 0), int | float):
            raise ValueError(f"{key} is not a number")
    if run.finished:
        assert run.result is not None, "it has finished"
        values = [run.metrics[run.main], *(run.result["anchors"][name][run.main] for name in ANCHORS)]
        if not all(map(math.isfinite, values)):
            raise ValueError(f"{run.main} is not a finite number")
        if missing := {"data", "extractor"} - run.result["protocol"].keys():
            raise ValueError(f"the protocol does not name its {' and '.join(sorted(missing))}")


def _if_there(path: Path) -> Path | None:
    return path if path.is_file() else None


def _name(path: Path, root: Path) -> str:
    """A path without what only this machine knows."""
    path, root, here = path.resolve(), root.resolve(), Path.cwd()
    if path.is_relative_to(here):
        return path.relative_to(here).as_posix()
    return path.relative_to(root.parent if path != root else root.parent.parent).as_posix()


def _once(runs: list[Run]) -> list[Run]:
    """Sorted runs without second copies of one, or such as have not come as far.

    Raises UserError where one seed of a recipe has two results.
    """
    kept: list[Run] = []
    for run in runs:
        before = kept[-1] if kept else None
        if before is None or (before.recipe, before.seed) != (run.recipe, run.seed):
            kept.append(run)
        elif _stage(before) != _stage(run):
            kept[-1] = max(before, run, key=_stage)
        elif _outcome(before) != _outcome(run):
            raise UserError(
                f"{before.name} and {run.name} are the same config and seed with different results: leave one out of runs="
            )
    return kept


def _stage(run: Run) -> int:
    """How far a run has come: begun, trained, or with an outcome."""
    return bool(run.ended) + (run.state != "unfinished")


def _outcome(run: Run) -> tuple[Any, ...]:
    """What a second training of the same gives again, other than its cost."""
    ended = [run.ended.get(key) for key in ("reason", "step", "best_step", "best_distance")]
    return run.result, run.manifest.get("final_weights"), ended


def validation_curve(run: RunFolder) -> dict[int, tuple[int, float]]:
    """step -> (images seen, distance), by a run's scalars."""
    curve = {}
    for line in run.scalars():
        for key, value in line.items():
            if key.startswith("validation/"):
                curve[int(line["step"])] = (int(line["images_seen"]), float(value))
    return curve
