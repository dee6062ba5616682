"""A tower for each field of a sample, and projections to the space that they share, for src.models.clip."""

from collections.abc import Callable, Mapping

import torch
from torch import nn
from torch.nn.functional import normalize

from src.data.spec import Batch, Spec


class Towers(nn.Module):
    """Fields to unit vectors of one space: an encoder for each field, and a linear projection of its features.

    towers: field -> function called with `spec=`, whose `x` is this field; it maps the field to features [B, D].
    width: P, of the shared space.
    """

    def __init__(self, spec: Spec, towers: Mapping[str, Callable[..., nn.Module]], width: int = 64) -> None:
        super().__init__()
        if missing := set(towers) - set(spec.fields):
            raise ValueError(
                f"the data have no {' and no '.join(sorted(missing))}, only {', '.join(spec.fields)}: "
                "take data that have it (data=emoji_captions), or other model.network.towers="
            )
        if len(towers) < 2:
            raise ValueError("model.network.towers= needs two fields or more, which are matched with each other")
        built = {field: tower(spec=Spec({"x": spec.fields[field]})) for field, tower in towers.items()}
        self.towers = nn.ModuleDict(built)
        self.projections = nn.ModuleDict(
            {field: nn.Linear(features_of(spec, field, tower), width, bias=False) for field, tower in built.items()}
        )

    @property
    def fields(self) -> tuple[str, ...]:
        return tuple(self.towers)

    def forward(self, batch: Batch) -> Batch:
        """Values [B, *field.shape] by field to unit vectors [B, P]."""
        return {field: normalize(self.projections[field](self.towers[field](x)), dim=1) for field, x in batch.items()}


@torch.no_grad()
def features_of(spec: Spec, field: str, tower: nn.Module) -> int:
    """D, the number of features that a tower gives for a sample."""
    kind = spec.fields[field]
    zeros = torch.zeros(1, *kind.shape, dtype=torch.int64 if kind.dtype.startswith("int") else torch.get_default_dtype())
    features = tower.eval()(zeros)
    tower.train()
    if features.ndim != 2:
        raise ValueError(f"the tower of {field} gives {list(features.shape)} for a sample: must give one vector, [1, D]")
    return features.shape[1]
