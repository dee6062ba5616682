"""Samples of a run: the class and the text that are asked for, the real images beside them, and where they come from."""

import functools
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from src.config.errors import UserError, nearest
from src.runs.folder import RunFolder
from src.runs.manifest import data_changes


def provenance_of(run: RunFolder, model: Any, weights: str = "ema", checkpoint: str = "best") -> dict[str, Any]:
    """Where the samples of a run's model come from, as plain JSON values; "model" is the hash of the network's weights."""
    from src.runs.export import state_hash

    return {
        "model": state_hash(model.network(weights).state_dict()),
        "weights": weights if model.ema else "raw",
        "run": run.path.parent.name,
        "seed": run.path.name,
        "checkpoint": run.weights(checkpoint).name,
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


def text_sampler(
    model: Any, modality: Any, prompt: str | None = None, heads: str | None = None, form: str | None = None
) -> tuple[Callable[..., Any], dict[str, Any]]:
    """A model's function of (seeds, cond) that draws samples after a prompt, and its constraints, by the name of the argument.

    heads, form: see `constraints_of`. UserError for what the model cannot do.
    """
    from src.modalities.modality import ReadsText
    from src.models.capabilities import Continues
    from src.models.constraints import constraints_of

    for name, value in {"prompt": prompt, "heads": heads, "form": form}.items():
        if value is not None and not (isinstance(modality, ReadsText) and isinstance(model, Continues)):
            raise UserError(f"this model knows no {name}=, which is for text: leave it out")
    constraints = constraints_of(model.spec, heads, form)
    settings = {"constraints": constraints} if constraints else {}
    if prompt is None:
        return model.sample, settings
    return functools.partial(model.continue_from, modality.encode(prompt, "prompt")), settings


def source_condition(model: Any, modality: Any, text: str, n: int) -> Any:
    """The conditions of n samples from a text, {"source": [n, S], "source_length": [n]}; UserError if it cannot be read.

    It is said on stderr which characters are not in the vocabulary.
    """
    if "source" not in model.conditions([0]):
        raise UserError("this model reads no source: leave source= out, or say prompt=, how the samples begin")
    given = modality.encode_source(text)
    if unknown := modality.vocabulary.unknown(text):
        print(f"source: not in the vocabulary of the data, read as unknown: {' '.join(unknown)}", file=sys.stderr)
    return {name: part.expand(n, *part.shape[1:]) for name, part in given.items()}


def load_test_split(run: RunFolder, data: str | None = None, path: str | None = None) -> Any:
    """The test split of the data that a run was made with; UserError if they are missing or have changed.

    data, path: where they are now, see `RunFolder.experiment`.
    """
    dataset = run.experiment(data, path).dataset
    dataset.prepare()
    if changes := data_changes(run.manifest()["data"], dataset.hashes()):
        raise UserError(f"the data is not what the run was made with ({'; '.join(changes)}): get that version of it")
    return dataset.split("test")


def batch_of(model: Any, split: Any, first: int, n: int) -> Any:
    """The n samples of a split from number `first` on, in the model's format; after the last comes the first."""
    import torch

    rows = (first % len(split) + np.arange(n)) % len(split)
    batch = {name: torch.from_numpy(part) for name, part in split.batch(rows).items()}
    return model.spec.to_model(batch, model.dtype)
