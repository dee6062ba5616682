"""python -m src.tools.fingerprint: what each published recipe does in its first updates, in small files that DVC watches.

A result depends on its fingerprint and not on the text of the code, so that a docstring, a new name or a moved file make no
result stale, and a changed algorithm does. A fingerprint holds three things:

settings    the config's values that decide what a run computes, without the names of classes and files
packages    the versions of those that compute
behaviour   what a few updates change, computed in float64, and what the suite measures then

A file is rewritten only where a number differs by more than rounding between two kinds of CPU.
"""

import importlib.metadata
import json
import math
import tempfile
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from src.config import command_line
from src.config.experiment import Experiment
from src.config.identity import identity
from src.data.dataset import Arrays, Dataset
from src.data.loader import Blocks, Rows
from src.models.model import Model
from src.system.files import write_json
from src.system.numerics import set_numerics

PACKAGES = ("torch", "numpy", "scipy", "torch-fidelity")
LAZY = 5040  # lazy terms are due at its multiples, for every interval up to 10 and for 12, 14, 15 and 16
UPDATES = 2  # at each of three places: the beginning, the middle and the end
SAMPLES = 300  # of each split
FEW_SAMPLES = 24  # the same, where a network for photographs measures: in float64 it takes a second for each
RELATIVE, ABSOLUTE = 1e-6, 1e-12  # what rounding may change


class Head:
    """The first samples of each split of a data set."""

    def __init__(self, dataset: Dataset, samples: int = SAMPLES) -> None:
        self.dataset, self.samples = dataset, samples
        self.name, self.spec, self.prepare, self.hashes = dataset.name, dataset.spec, dataset.prepare, dataset.hashes

    def split(self, name: str) -> Arrays:
        split = self.dataset.split(name)
        return Arrays(**split.batch(np.arange(min(self.samples, len(split)))))


def fingerprint(config: Mapping[str, Any], cache: Path) -> dict[str, Any]:
    """Of a plain config's recipe, whatever its seed is. cache: a folder for what is measured of real data."""
    experiment = Experiment({**config, "seed": 0, "evaluation": {**config["evaluation"], "cache": str(cache)}})
    experiment.dataset.prepare()
    set_numerics(1, "highest")
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        model = experiment.model(experiment.dataset.spec).double()
        training = dict(flat(train(experiment, model)))
        evaluation = dict(flat(evaluate(experiment, model)))
    finally:
        torch.set_default_dtype(before)
    return {
        "settings": {key: value for key, value in sorted(identity(config).items()) if counts(key)},
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
        "behaviour": {"training": training, "evaluation": evaluation},
    }


def counts(key: str) -> bool:
    """Whether a setting belongs to a fingerprint: names of classes and seeds do not."""
    return key not in ("name", "seed") and key.rpartition(".")[2] not in ("_target_", "_partial_")


def train(experiment: Experiment, model: Model) -> dict[str, Any]:
    """Two updates at the beginning, in the middle and at the end of the run, at steps where lazy terms are due.

    For each: the step, what was measured last, the optimizers' settings, and how far each part of the state has moved.
    """
    split, per_update = experiment.dataset.split("train"), model.batches_per_update
    samples = experiment.batch_size * per_update
    last = experiment.stop.last_step(len(split), samples)[0] or 2 * LAZY
    optimizers: Any = model.configure_optimizers()
    found = {}
    for place, share in {"beginning": 0.0, "middle": 0.5, "end": 1.0}.items():
        step = int(share * last) // LAZY * LAZY
        seen = int(share * last) * samples  # schedules follow the samples
        model.set_clock({"step": step, "samples_seen": seen})
        order = Blocks(
            samples=len(split),
            batch_size=experiment.batch_size,
            seed=model.seed,
            at=partial(int, step),
            stop=step + UPDATES,
            batches_per_update=per_update,
            size=UPDATES,
        )
        before = {name: tensor.clone() for name, tensor in model.state_dict().items() if tensor.is_floating_point()}
        for index in order:
            model.train_on(Rows(split)[index], optimizers)
        after = model.state_dict()
        found[place] = {
            "clock": model.clock(),
            "scalars": model.scalars(),
            "optimizers": [settings(optimizer) for optimizer in optimizers],
            "moved": moved({name: after[name] - tensor for name, tensor in before.items()}),
        }
    return found


def settings(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """The numbers that an optimizer goes by now."""
    group = optimizer.param_groups[0]
    return {name: value for name, value in group.items() if isinstance(value, int | float | tuple | list) and name != "params"}


def moved(differences: Mapping[str, Tensor]) -> list[list[float]]:
    """Of each tensor, in an order that its name does not decide: the length of its movement, and one coordinate of it."""
    rows = []
    for tensor in differences.values():
        flat = tensor.flatten().double()
        direction = torch.cos(torch.arange(len(flat), dtype=torch.float64))
        rows.append([flat.norm().item(), (flat @ direction).item()])
    return rows


def evaluate(experiment: Experiment, model: Model) -> dict[str, Any]:
    """What the suite says of the model by now, and of its controls, on the first samples of each split."""
    suite = experiment.suite
    slow = getattr(suite, "extractor_name", "") == "efficientnet-lite0"
    dataset = Head(experiment.dataset, FEW_SAMPLES if slow else SAMPLES)
    with tempfile.TemporaryDirectory() as folder:
        # A run without validation has no value of it to change.
        validation = suite.validate(model, dataset) if experiment.cadence.validate else None
        record = suite.evaluate(model, dataset, experiment.modality(dataset.spec), Path(folder))
    return {"validation": validation, "metrics": record["metrics"], "controls": record["controls"]}


def flat(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted key, number or word) of everything in nested mappings and lists."""
    parts = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list | tuple) else None
    if parts is None:
        yield key, float(f"{value:.12g}") if isinstance(value, float) else value
        return
    for name, part in parts:
        yield from flat(part, f"{key}.{name}" if key else str(name))


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What differs between two fingerprints beyond rounding, for people."""
    found = []
    for part in ("settings", "packages"):
        was, now = old.get(part, {}), new[part]
        keys = sorted(was.keys() | now.keys())
        found += [f"{key}: {was.get(key)} -> {now.get(key)}" for key in keys if was.get(key) != now.get(key)]
    for part in new["behaviour"]:
        was, now = old.get("behaviour", {}).get(part, {}), new["behaviour"][part]
        keys = sorted(was.keys() | now.keys())
        found += [f"{part}, {key}: {was.get(key)} -> {now.get(key)}" for key in keys if not alike(was.get(key), now.get(key))]
    return found


def alike(a: Any, b: Any) -> bool:
    """Whether two values are the same but for rounding."""
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=RELATIVE, abs_tol=ABSOLUTE) or (math.isnan(a) and math.isnan(b))
    return a == b


def recipes() -> dict[Path, list[list[str]]]:
    """The file of every fingerprint that stages of dvc.yaml depend on, with the words of these stages."""
    from dvc.repo import Repo  # type: ignore[import-untyped]

    found: dict[Path, list[list[str]]] = {}
    for stage in sorted(Repo().index.stages, key=lambda stage: stage.addressing):
        for path in (Path(dependency.def_path) for dependency in stage.deps):
            if path.parent.name == "fingerprints":
                found.setdefault(path, []).append(stage.cmd.split()[3:])  # after python -m src.train
    return found


def main(config: dict[str, Any]) -> None:
    """Bring the files up to date, and say what has changed."""
    found = recipes()
    for path in set(Path(config["folder"]).glob("*.json")) - found.keys():
        path.unlink()
    with tempfile.TemporaryDirectory() as cache:
        for path, (words, *_) in found.items():
            print(f"{path.stem}: ", end="", flush=True)
            old = json.loads(path.read_text()) if path.is_file() else {}
            new = fingerprint(command_line.compose("train", words), Path(cache))
            different = changes(old, new)
            if different:
                path.parent.mkdir(exist_ok=True)
                write_json(path, new)
            print(summary(different) if old else "new", flush=True)


def summary(different: list[str]) -> str:
    more = f" and {len(different) - 3:,} more" if len(different) > 3 else ""
    return f"{'; '.join(different[:3])}{more}" if different else "as before"


if __name__ == "__main__":
    command_line.run("fingerprint", main)
