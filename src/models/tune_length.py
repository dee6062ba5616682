"""How long a tune is: a constraint on the symbols of models that draw one by one."""

import torch
from torch import Tensor

from src.data.music.notes import STEPS
from src.data.spec import Spec
from src.data.vocabulary import END, PAD


class Length:
    """The tune ends after so many sixteenths, no earlier and no later. spec: of data with END."""

    def __init__(self, steps: int, spec: Spec) -> None:
        self.name = f"{steps // STEPS} quarter notes" if steps % STEPS == 0 else f"{steps} sixteenths"
        self.symbols = steps * spec.shape[1]
        self.end = torch.tensor([name == END for name in spec.x.names])  # [number of symbols]
        self.inside = torch.tensor([name not in (END, PAD) for name in spec.x.names])

    def allowed(self, prefix: Tensor) -> Tensor:
        """See `src.models.constraints.Constraint`; the prefix [B, t] has the voices of each step one after another."""
        return (self.inside if prefix.shape[1] < self.symbols else self.end).expand(len(prefix), -1)
