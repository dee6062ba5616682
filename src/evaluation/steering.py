"""Samples that are moved along directions of the latent space, as `python -m src.directions` names them."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from src.config.errors import UserError
from src.data.spec import Batch
from src.evaluation.directions import sefa
from src.models.latent import LatentModel
from src.models.latent_space import LatentSpace

REACH = 3.0  # of strips and sliders, in standard deviations of the codes along a direction
LATENTS, FIRST = 1000, 1_000_000  # codes whose standard deviations count, and the first of their seeds


class Steering:
    """One model's samples along directions.

    weights: see `LatentModel.decode`. attributes: the steps of attribute directions by name, see `recorded`.
    """

    def __init__(
        self, model: LatentModel, weights: str = "ema", attributes: Mapping[str, Sequence[float]] | None = None
    ) -> None:
        self.model, self.space, self._attributes = model, LatentSpace(model, weights), attributes or {}

    def names(self, n: int) -> list[str]:
        """Of directions: n closed-form ones, or as many as a code has numbers, then those of attributes."""
        return [*(f"sefa-{k + 1}" for k in range(min(n, self.codes.shape[1]))), *self._attributes]

    @cached_property
    def codes(self) -> Tensor:
        """[LATENTS, D]."""
        seeds = range(FIRST, FIRST + LATENTS)
        return self.space.codes(seeds, self.model.conditions(seeds))

    @cached_property
    def steps(self) -> dict[str, Tensor]:
        """Each direction [D] with the length of one standard deviation of the codes along it."""
        vectors, _ = sefa(self.space.matrix(), self.codes.shape[1])
        found = {f"sefa-{k + 1}": step_along(self.codes, vector.float()) for k, vector in enumerate(vectors)}
        return found | {name: torch.tensor(step) for name, step in self._attributes.items()}

    def sample(self, seeds: Sequence[int], cond: Batch | None = None, moves: Mapping[str, float] | None = None) -> Tensor:
        """Samples [N, *spec.shape], see Samples, moved by `moves` standard deviations along the directions that it names."""
        cond = self.model.conditions(seeds) if cond is None else cond
        codes = self.space.codes(seeds, cond)
        for name, amount in checked(moves or {}, self.steps).items():
            codes = codes + amount * self.steps[name]
        return self.model.drawn(self.space.samples(codes, cond), seeds)


def step_along(codes: Tensor, direction: Tensor) -> Tensor:
    """A direction [D] of unit length with the length of one standard deviation of codes [N, D] along it."""
    return direction * (codes @ direction).std()


def steerable(model: Any) -> str:
    """Why directions of a model cannot be shown, "" if they can."""
    if not isinstance(model, LatentModel):
        return "has no latent space: ask a run of a GAN or a VAE"
    kind = model.spec.kind
    return "" if kind == "image" else f"makes {kind}, and directions are shown in images: ask a run of images"


def recorded(path: Path | None, model: str) -> dict[str, list[float]]:
    """The steps of attribute directions that a `directions.json` has, by name; empty for one of other weights, or for none.

    model: the hash of the weights, see `provenance_of`.
    """
    try:
        record = json.loads(path.read_bytes()) if path else {}
        found = record["steps"] if record.get("model") == model else {}
        return {str(name): [float(x) for x in step] for name, step in found.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}  # of an older version, or damaged: `python -m src.directions` writes it anew


def checked(moves: Any, known: Iterable[str]) -> dict[str, float]:
    """The setting directions=, a mapping of names to numbers; UserError if it is none, or for a name that is not known."""
    if not isinstance(moves, Mapping):
        raise UserError(f"directions={moves}: must be names with numbers, such as directions={{sefa-1: 2}}")
    for name, amount in moves.items():
        if name not in known:
            raise UserError(f"directions: there is no {name}: {'; '.join(ranges(known))}")
        if isinstance(amount, bool) or not isinstance(amount, int | float) or not math.isfinite(amount):
            raise UserError(f"directions: {name}={amount} must be a number, of standard deviations")
    return dict(moves)


def ranges(known: Iterable[str]) -> list[str]:
    """Names of directions in few words, for a message."""
    attributes = [name for name in known if not name.startswith("sefa-")]
    closed = f"sefa-1 to sefa-{len([*known]) - len(attributes)}"
    return [f"known: {closed}", ", ".join(attributes) or "python -m src.directions finds those of attributes"]
