"""A representation that pictures and words share: CLIP, Radford et al. 2021 (arXiv:2103.00020), and SigLIP's loss."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import combinations
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, logsigmoid
from torch.optim import Optimizer
from torch.utils.checkpoint import checkpoint

from src.config.errors import UserError
from src.data.spec import Batch, Spec
from src.models.augment import Augmentation
from src.models.conditions import hide_words
from src.models.model import OneLoss, evaluating
from src.parallel.collectives import from_all_processes, own_rows, world_size
from src.training.ema import EMA

LARGEST_SCALE = 100.0  # of similarities (Radford et al. 2021, section 2.5)


class Clip(OneLoss):
    """One tower for each field of a sample; embeddings of a sample's fields must find each other among those of all samples.

    The loss is that of Radford et al. 2021, figure 3, or of SigLIP, for each pair of fields, and the mean over the pairs: two
    for pictures and captions, and any field that the data have may be a third. It draws no samples.

    network: called with `spec=`; maps a batch to unit vectors [B, P] by field, and has the names of its `fields`: see Towers.
    match: the loss, with its learned temperature: Softmax or Sigmoid. It is called without arguments.
    augment: field -> what changes its values in training, in order, with separate numbers for each sample.
    word_dropout: probability of reading a word as UNKNOWN in training, in fields of tokens, so that it is nothing new.
    chunk: samples of a rank whose activations are in memory at once: the towers compute the others again in the backward pass,
        so that a batch of any size has all its negatives (Gao et al. 2021, arXiv:2101.06983). None for all. Layers that draw
        numbers draw others for other chunks.
    optimizer, ema, lr_schedule: see OneLoss.
    """

    def __init__(
        self,
        spec: Spec,
        seed: int,
        network: Callable[..., nn.Module],
        match: Callable[[], "Match"],
        optimizer: Callable[..., Optimizer],
        augment: Mapping[str, Sequence[Augmentation]] | None = None,
        word_dropout: float = 0.0,
        chunk: int | None = None,
        ema: Callable[[nn.Module], EMA] | None = None,
        lr_schedule: Callable[[int], float] | None = None,
    ) -> None:
        super().__init__(spec, seed, optimizer, ema, lr_schedule)
        if chunk is not None and chunk < 1:
            raise ValueError(f"model.chunk={chunk}: must be at least 1, or null for whole batches")
        self.word_dropout, self.chunk = word_dropout, chunk
        self.augment = nn.ModuleDict({field: nn.ModuleList(parts) for field, parts in (augment or {}).items()})
        self.set_network(nn.ModuleDict({"towers": network(spec=spec), "match": match()}))
        if unknown := set(self.augment) - set(self.fields):
            raise ValueError(f"model.augment= has {', '.join(sorted(unknown))}, but the towers are of {', '.join(self.fields)}")

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that have a tower."""
        return self.learner["towers"].fields  # type: ignore[index]

    def loss(self, batch: Batch) -> Tensor:
        """Values [B] in nats, the mean over the pairs of fields. The negatives come from all ranks."""
        if len(batch["x"]) * world_size() < 2:  # nothing to tell a sample from
            raise UserError("contrastive learning tells the samples of a batch apart: raise data.batch_size to at least 2")
        batch = {field: self.view(field, batch[field]) for field in self.fields}
        u = self.embedded(batch)  # [B, P] by field
        match = self.learner["match"]  # type: ignore[index]
        losses = [match(u[a], u[b]) for a, b in combinations(self.fields, 2)]
        return torch.stack(losses).mean(0)

    def view(self, field: str, values: Tensor) -> Tensor:
        """Augmented values [B, *field.shape], some words UNKNOWN."""
        parts: Any = self.augment[field] if field in self.augment else ()  # noqa: SIM401 (a ModuleDict has no get)
        for i, augment in enumerate(parts):
            values = augment(values, self.draw(torch.rand, len(values), augment.draws, f"view/{field}/{i}"))
        draw = partial(self.draw, torch.rand, stream=f"words/{field}")
        return hide_words(values, self.spec.fields[field], self.word_dropout, draw)

    def embedded(self, batch: Batch) -> Batch:
        """Unit vectors [B, P] by field, of chunks in turn if `chunk` asks for it."""
        towers, size = self.learner["towers"], len(batch[self.fields[0]])  # type: ignore[index]
        if self.chunk is None or self.chunk >= size:
            return towers(batch)
        parts = zip(*(batch[field].split(self.chunk) for field in self.fields), strict=True)
        found = [checkpoint(towers, dict(zip(self.fields, part, strict=True)), use_reentrant=False) for part in parts]
        return {field: torch.cat([part[field] for part in found]) for field in self.fields}

    @torch.no_grad()
    def embed_field(self, field: str, values: Tensor, weights: str = "ema") -> Tensor:
        """Unit vectors [B, P] of a field's values [B, *field.shape] in the model's format; those of all fields compare."""
        with evaluating(self.network(weights)) as network:
            return network["towers"]({field: values})[field]

    def scalars(self) -> dict[str, float]:
        found = super().scalars()
        return {**found, "scale": self.learner["match"].scale.item()} if found else found  # type: ignore[index]


class Match(nn.Module):
    """A loss of unit vectors u, v [B, P] of this rank's samples, whose similarities are multiplied by a learned scale.

    It gives values [B] in nats; their mean over the ranks, and that of the gradients, equals that of the global batch.
    What is learned is the logarithm's distance from its first value, which weight decay therefore draws to that value.
    """

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.initial = math.log(scale)
        self.log_scale = nn.Parameter(torch.zeros(()))

    @property
    def scale(self) -> Tensor:
        """exp of what is learned, at most LARGEST_SCALE: 1 / temperature."""
        return (self.initial + self.log_scale).clamp(max=math.log(LARGEST_SCALE)).exp()


class Softmax(Match):
    """Radford et al. 2021, figure 3: cross entropies of finding v among all v, and u among all u, and their mean.

    temperature: at the beginning.
    """

    def __init__(self, temperature: float = 0.07) -> None:
        super().__init__(1 / temperature)

    def forward(self, u: Tensor, v: Tensor) -> Tensor:
        every_u, every_v = from_all_processes(torch.stack([u, v])).transpose(0, 1).flatten(1, 2)  # [N, P] each
        own = own_rows(len(u), u.device)
        pairs = (u, every_v), (v, every_u)
        return sum(cross_entropy(self.scale * a @ others.T, own, reduction="none") for a, others in pairs) / 2  # type: ignore[return-value]


class Sigmoid(Match):
    """SigLIP, Zhai et al. 2023 (arXiv:2303.15343), section 3.2: -sum_j log sigmoid(z_ij (scale u_i v_j + bias)).

    z_ij is 1 for i = j, otherwise -1. scale, bias: at the beginning.
    """

    def __init__(self, scale: float = 10.0, bias: float = -10.0) -> None:
        super().__init__(scale)
        self.first_bias = bias
        self.bias = nn.Parameter(torch.zeros(()))

    def forward(self, u: Tensor, v: Tensor) -> Tensor:
        every_v = from_all_processes(v).flatten(0, 1)  # [N, P]
        logits = self.scale * u @ every_v.T + self.first_bias + self.bias  # [B, N]
        sign = torch.full_like(logits, -1.0).scatter(1, own_rows(len(u), u.device)[:, None], 1.0)
        return -logsigmoid(sign * logits).sum(1)
