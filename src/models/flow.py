"""Flow matching: Lipman et al. 2023, Flow Matching for Generative Modeling (arXiv:2210.02747)."""

from collections.abc import Callable

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn
from torch.optim import Optimizer

from src.data.spec import Batch, Spec
from src.models.ode import ODEModel, stratified
from src.parallel.collectives import draw_rows, from_all_processes
from src.training.ema import EMA


class Flow(ODEModel):
    """A network learns the velocity of straight paths from noise at t = 0 to data at t = 1.

    optimal_transport: noise and data of a batch are paired so that the paths are short, see `pair`.
    time_std: t is from the logit-normal distribution of mean 0 and this standard deviation (Esser et al. 2024,
    arXiv:2403.03206, section 3.1); None for U(0, 1), as in the paper.
    The other arguments: see ODEModel.
    """

    def __init__(
        self,
        spec: Spec,
        seed: int,
        network: Callable[..., nn.Module],
        optimizer: Callable[..., Optimizer],
        ema: Callable[[nn.Module], EMA] | None = None,
        lr_schedule: Callable[[int], float] | None = None,
        conditional: bool = False,
        condition_dropout: float = 0.1,
        nfe: int = 10,
        solver: str = "multistep",
        guidance: float = 1.0,
        likelihood_steps: int = 32,
        optimal_transport: bool = False,
        time_std: float | None = None,
    ) -> None:
        super().__init__(
            spec,
            seed,
            network,
            optimizer,
            ema,
            lr_schedule,
            conditional,
            condition_dropout,
            nfe,
            solver,
            guidance,
            likelihood_steps,
        )
        self.optimal_transport, self.time_std = optimal_transport, time_std

    def loss(self, batch: Batch) -> Tensor:
        """||v(x_t, t) - (x_1 - x_0)||^2 / D at one random t for each sample (eq. 23 with sigma_min = 0), [B].

        x_t = (1 - t) x_0 + t x_1, with x_0 from N(0, I). Dequantised data x_1 have a density without sigma_min.
        """
        x1, y = self.training_pair(batch)
        x0 = self.draw(torch.randn, len(x1), self.size, "noise").to(x1).view_as(x1)
        if self.optimal_transport:
            x0 = paired_with(x1, x0, batch["y"] if self.classes else None)
        t = self.draw(stratified, len(x1), 1, "time").to(x1)[:, 0]  # [B]
        if self.time_std is not None:
            t = torch.sigmoid(self.time_std * torch.special.ndtri(t))
        share = t.view(-1, *[1] * len(self.spec.shape))  # [B, 1, 1, 1]
        v = self.learner((1 - share) * x0 + share * x1, t, y)
        return (v - (x1 - x0)).square().flatten(1).mean(1)

    def velocity(self, network: nn.Module, x: Tensor, t: Tensor, y: Tensor | None) -> Tensor:
        """The network itself."""
        return network(x, t, y)

    def times(self, steps: int) -> list[float]:
        """Equal steps from 0 to 1."""
        return [step / steps for step in range(steps + 1)]

    def likelihood_velocity(self, network: nn.Module, u: Tensor, s: float, y: Tensor | None) -> Tensor:
        """dx/ds for t = 1 - s^2: short steps near the data, where the noise is as small as the distance of two levels."""
        return -2 * s * network(u, u.new_full((len(u),), 1 - s**2), y)


def paired_with(x: Tensor, noise: Tensor, y: Tensor | None = None) -> Tensor:
    """The noise in the order in which the sum of ||x - noise||^2 over the batch is least (Tong et al. 2023, arXiv:2302.00482).

    x, noise: [B, *shape], this rank's rows; the pairs are those of the global batch, so they do not depend on the number of
    ranks. y [B]: classes; noise is exchanged within a class only. Otherwise a class would see a part of the noise in training
    and all of it in sampling.
    """
    data, candidates = (from_all_processes(part).flatten(0, 1) for part in (x, noise))
    cost = -(data.flatten(1) @ candidates.flatten(1).T).double().cpu()  # ||x||^2 + ||noise||^2 are the same for any order
    label = torch.zeros(len(data)) if y is None else from_all_processes(y.float()).flatten().cpu()
    order = torch.arange(len(data))
    for value in label.unique():
        rows = (label == value).nonzero()[:, 0]
        _, chosen = linear_sum_assignment(cost[rows][:, rows].numpy())
        order[rows] = rows[torch.from_numpy(chosen)]
    return draw_rows(lambda _: candidates[order], x.shape)
