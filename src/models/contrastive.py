"""Contrastive learning of representations: SimCLR, Chen et al. 2020 (arXiv:2002.05709)."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize
from torch.optim import Optimizer

from src.config.errors import UserError
from src.data.spec import Batch, Spec
from src.models.augment import Augmentation
from src.models.model import OneLoss, evaluating
from src.parallel.collectives import from_all_processes, own_rows, world_size
from src.training.ema import EMA


class Contrastive(OneLoss):
    """An encoder that learns to match the two views of an image among all views (Algorithm 1). It draws no samples.

    network: called with `spec=`; maps images to embeddings h [B, D], and its `project` maps those to z [B, P].
    augment: applied in order, with separate numbers for each image and view; embeddings learn to ignore what they change.
    temperature: of the softmax over similarities.
    optimizer, ema, lr_schedule: see OneLoss.
    """

    def __init__(
        self,
        spec: Spec,
        seed: int,
        network: Callable[..., nn.Module],
        optimizer: Callable[..., Optimizer],
        augment: Sequence[Augmentation],
        ema: Callable[[nn.Module], EMA] | None = None,
        lr_schedule: Callable[[int], float] | None = None,
        temperature: float = 0.5,
    ) -> None:
        super().__init__(spec, seed, optimizer, ema, lr_schedule)
        self.augment = nn.ModuleList(augment)
        self.temperature = temperature
        self.set_network(network(spec=spec))

    def loss(self, batch: Batch) -> Tensor:
        """NT-Xent [B] in nats: for each image, the mean over its two views. The negatives come from all ranks."""
        if len(batch["x"]) * world_size() < 2:  # the loss would be 0 whatever the network does
            raise UserError("contrastive learning tells the images of a batch apart: raise data.batch_size to at least 2")
        views = torch.cat([self.view(batch["x"], k) for k in (0, 1)])  # [2 B, *shape]
        z = self.learner.project(self.learner(views))  # type: ignore[operator]
        u, v = normalize(z, dim=1).chunk(2)  # [B, P] each
        return nt_xent(u, v, self.temperature)

    def view(self, x: Tensor, k: int) -> Tensor:
        """View k of images [B, *shape]."""
        for i, augment in enumerate(self.augment):
            x = augment(x, self.draw(torch.rand, len(x), augment.draws, f"view/{k}/{i}"))  # type: ignore[arg-type]
        return x

    @torch.no_grad()
    def embed(self, batch: Batch, weights: str = "ema") -> Tensor:
        """Embeddings h [B, D], from before the projection: they are better representations than z (section 4.2)."""
        with evaluating(self.network(weights)) as network:
            return network(batch["x"])


def nt_xent(u: Tensor, v: Tensor, temperature: float) -> Tensor:
    """Eq. 1 for two unit-length views u, v [B, P] of this rank's images: (l(2k - 1, 2k) + l(2k, 2k - 1)) / 2, [B] in nats.

    Each view must find its partner among all other views of the global batch of N = ranks * B images: a softmax over 2 N - 1
    similarities. Every rank gathers the views of all ranks, with gradients, and computes the loss of its own images. The mean
    over the ranks, of losses and of gradients, equals that of the global batch in one process.
    """
    every_u, every_v = from_all_processes(torch.stack([u, v])).transpose(0, 1).flatten(1, 2)  # [2, N, P] from [ranks, 2, B, P]
    own = own_rows(len(u), u.device)  # [B] indices among the N
    others = torch.cat([every_u, every_v])  # [2 N, P]
    total = torch.zeros_like(u[:, 0])
    for view, itself, partner in ((u, own, own + len(every_u)), (v, own + len(every_u), own)):
        similarity = view @ others.T / temperature  # [B, 2 N]
        similarity = similarity.scatter(1, itself[:, None], -torch.inf)
        total = total + cross_entropy(similarity, partner, reduction="none")
    return total / 2
