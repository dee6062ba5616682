"""Samples of a run: the class and the settings that are asked for, the real images beside them, and where they come from."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from src.config.errors import UserError, nearest
from src.runs.folder import RunFolder
from src.runs.manifest import data_changes

# Each model takes some.
SETTINGS = "truncation", "side", "temperature", "top_k", "top_p", "nfe", "solver", "guidance", "direction"


def provenance_of(run: RunFolder, model: Any, weights: str = "ema", checkpoint: str = "best") -> dict[str, Any]:
    """Where the samples of a run's model come from, as plain JSON values; "model" is the hash of the network's weights."""
    from src.runs.export import state_hash

    licence = run.manifest().get("licence")
    return {
        "model": state_hash(model.network(weights).state_dict()),
        "weights": weights if model.ema else "raw",
        "run": run.path.parent.name,
        "seed": run.path.name,
        "checkpoint": run.weights(checkpoint).name,
        **({"licence": licence} if licence else {}),  # of the data
    }


def condition(model: Any, name: Any, n: int) -> Any:
    """{"y": class index [n]} for the class that the user names, by name or index; None if `name` is None."""
    if name is None:
        return None
    import torch

    classes = model.spec.classes
    if "y" not in model.conditions([0]):
        raise UserError("this model is not class-conditional: leave class= out")
    if str(name) not in classes and not (str(name).isdigit() and int(name) < len(classes)):
        raise UserError(f"class={name} is none of the data's: {nearest(str(name), classes)}")
    return {"y": torch.full((n,), classes.index(str(name)) if str(name) in classes else int(name))}


def condition_asked(model: Any, config: Mapping[str, Any], seeds: Sequence[int]) -> Any:
    """As `condition`, by class= of a config, or by attributes=: words that the names of classes have, or lack after a minus.

    Of the classes that fit attributes=, each seed gets the one of its number modulo their number.
    """
    if config["attributes"] is None:
        return condition(model, config["class"], len(seeds))
    if config["class"] is not None:
        raise UserError("class= says all of what attributes= says a part of: leave one of them out")
    if "y" not in model.conditions([0]):
        raise UserError("this model is not class-conditional: leave attributes= out")
    import torch

    fitting = with_words(model.spec.classes, config["attributes"])
    return {"y": torch.tensor([fitting[seed % len(fitting)] for seed in seeds])}


def with_words(classes: Sequence[str], asked: str) -> list[int]:
    """Numbers of the classes whose names have all words of a list such as "glasses,-beard", and none of those after a minus."""
    names = [set(name.split()) for name in classes]
    known = set().union(*names)
    fitting = list(range(len(classes)))
    for word in (part.strip() for part in asked.split(",")):
        lacks, bare = word.startswith("-"), word.removeprefix("-")
        if bare not in known:
            raise UserError(f"attributes={asked}: {bare!r} is no word in the names of the classes: {nearest(bare, known)}")
        fitting = [number for number in fitting if (bare in names[number]) != lacks]
    if not fitting:
        raise UserError(f"attributes={asked}: no class fits all of this: leave a word out")
    return fitting


def sampling_settings(config: Mapping[str, Any], function: Callable[..., Any]) -> dict[str, Any]:
    """The config's sampling settings as keyword arguments; UserError for one that `function` does not take."""
    given = {name: config[name] for name in SETTINGS if config[name] is not None}
    for name in given:
        if name not in inspect.signature(function).parameters:
            raise UserError(f"this model knows no {name}=: leave it out")
    return {"weights": config["weights"], **given}


def load_split(run: RunFolder, data: str | None = None, path: str | None = None, name: str = "test") -> Any:
    """A split of the data that a run was made with; UserError if they are missing or have changed.

    data, path: where they are now, see `RunFolder.experiment`.
    """
    dataset = run.experiment(data, path).dataset
    dataset.prepare()
    if changes := data_changes(run.manifest()["data"], dataset.hashes()):
        raise UserError(f"the data is not what the run was made with ({'; '.join(changes)}): get that version of it")
    return dataset.split(name)


def batch_of(model: Any, split: Any, first: int, n: int) -> Any:
    """The n samples of a split from number `first` on, in the model's format; after the last comes the first."""
    import torch

    rows = (first % len(split) + np.arange(n)) % len(split)
    batch = {name: torch.from_numpy(part) for name, part in split.batch(rows).items()}
    return model.spec.to_model(batch, model.dtype)
