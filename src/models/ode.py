"""Models whose samples are solutions of an ordinary differential equation that begin with noise: flows and diffusions."""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from src.config.errors import UserError
from src.data.spec import Batch, Spec
from src.models.conditions import conditions_of, drop
from src.models.latent import batches, great_circle, normal_per_seed
from src.models.model import OneLoss, evaluating
from src.models.solvers import check_solver, count_steps, flow_back, last, solve
from src.training import rng
from src.training.ema import EMA


class ODEModel(OneLoss):
    """Samples are x at the end of dx/dt = v(x, t, y), which begins with x = noise_scale * N(0, I).

    A subclass defines `loss`, `velocity`, `times`, `likelihood_velocity`, and where they differ `noise_scale`,
    `likelihood_scales` and `shown`.

    network: called with `spec=` and `conditional=`, maps (x [B, *shape], t [B], y [B] or None) to [B, *shape]; its `classes` is
    the number of classes, 0 if unconditional, and y = classes means no class (`null`).
    optimizer, ema, lr_schedule: see OneLoss.
    conditional: the model is conditioned on the class.
    condition_dropout: share of the training samples without their class, which guidance needs.
    nfe, solver, guidance: defaults of `sample`.
    likelihood_steps: steps of `tight_nll`, two evaluations with a backward pass each; `nll` takes a quarter of them.
    """

    condition_field = "y"  # of the data, and of conditions: the networks' y
    noise_scale = 1.0
    likelihood_scales = 1.0, 1.0

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
    ) -> None:
        super().__init__(spec, seed, optimizer, ema, lr_schedule)
        check_solver(solver, nfe)
        self.size = math.prod(spec.shape)
        self.conditional, self.condition_dropout = conditional, condition_dropout
        self.nfe, self.solver, self.guidance, self.likelihood_steps = nfe, solver, guidance, likelihood_steps
        self.set_network(network(spec=spec, conditional=conditional))
        self.classes: int = self.learner.classes  # type: ignore[assignment]
        self.check_guidance(guidance)

    @property
    def null(self) -> int:
        """The number in a condition that means none."""
        return self.classes

    # What a subclass defines

    def velocity(self, network: nn.Module, x: Tensor, t: Tensor, y: Tensor | None) -> Tensor:
        """dx/dt [B, *shape] at x [B, *shape] and times t [B]."""
        raise NotImplementedError

    def times(self, steps: int) -> list[float]:
        """The steps + 1 times of a solution, from noise to data."""
        raise NotImplementedError

    def likelihood_velocity(self, network: nn.Module, u: Tensor, s: float, y: Tensor | None) -> Tensor:
        """du/ds [B, *shape] of the same ODE for u = x times a function of t, and a clock s from 0 (data) to 1 (noise).

        It must be bounded and smooth. u is `likelihood_scales[0]` x at the data, `likelihood_scales[1]` N(0, I) at the noise.
        """
        raise NotImplementedError

    def shown(self, x: Tensor, t: float) -> Tensor:
        """A state x [B, *shape] at time t, scaled so that it can be shown."""
        return x

    # Training

    def dequantised(self, x: Tensor, uniform: Tensor) -> Tensor:
        """Images x [B, C, H, W] in [-1, 1] moved within their levels by `uniform` from U(0, 1), of as many numbers.

        Then they have a density (Theis et al. 2016, arXiv:1511.01844, section 3.1). Rounding to the nearest level undoes it.
        Data that are no levels do not change.
        """
        return x + self.level_width * (uniform.view_as(x).to(x) - 0.5)

    @property
    def level_width(self) -> float:
        """Distance between two pixel levels in [-1, 1]; 0 for data that are no levels."""
        return 2 / (self.spec.x.levels - 1) if self.spec.x.dtype == "uint8" else 0.0

    def training_pair(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """Dequantised data [B, *shape] and classes [B] of which some are dropped; None if unconditional."""
        x, y = batch["x"], self.condition_of(batch)
        x = self.dequantised(x, self.draw(torch.rand, len(x), self.size, "dequantisation"))
        if y is not None:
            uniform = self.draw(torch.rand, len(x), 1, "condition").view(-1, *[1] * (y.dim() - 1))  # [B] or [B, 1]
            y = drop(y, self.null, self.condition_dropout, uniform)
        return x, y

    def condition_of(self, batch: Batch | None) -> Tensor | None:
        """The networks' y of a batch; None if unconditional."""
        return (batch or {}).get(self.condition_field) if self.classes else None

    # Samples

    def conditions(self, seeds: Sequence[int]) -> Batch:
        """See Samples: {"y": seed modulo the number of classes}; empty if unconditional."""
        return conditions_of(seeds, self.classes)

    def sample(
        self,
        seeds: Sequence[int],
        cond: Batch | None = None,
        weights: str = "ema",
        nfe: int | None = None,
        solver: str | None = None,
        guidance: float | None = None,
    ) -> Tensor:
        """See Samples. None for the constructor's defaults.

        nfe: evaluations of v (guidance doubles their cost). solver: see `solvers.solve`. guidance: v is v_null + guidance *
        (v_cond - v_null) (Ho and Salimans 2022, arXiv:2207.12598, eq. 6, with guidance = 1 + w); 1 for none.
        """
        cond = self.conditions(seeds) if cond is None else cond
        return self.decode(normal_per_seed(seeds, self.size), cond, weights, nfe, solver, guidance)

    def interpolate(
        self,
        rows: int,
        steps: int,
        seed: int,
        cond: Batch | None = None,
        weights: str = "ema",
        nfe: int | None = None,
        solver: str | None = None,
        guidance: float | None = None,
    ) -> Tensor:
        """See Interpolates: samples [rows, steps, *shape] whose noise lies on great circles."""
        z = great_circle(rows, steps, seed, self.size).flatten(0, 1)
        cond = self.conditions(range(rows)) if cond is None else cond
        cond = {name: part.repeat_interleave(steps, dim=0) for name, part in cond.items()}
        return self.decode(z, cond, weights, nfe, solver, guidance).unflatten(0, (rows, steps))

    @torch.no_grad()
    def decode(
        self,
        z: Tensor,
        cond: Batch | None = None,
        weights: str = "ema",
        nfe: int | None = None,
        solver: str | None = None,
        guidance: float | None = None,
    ) -> Tensor:
        """Noise [N, D] from N(0, I) to samples [N, *shape] on the CPU; the other arguments as of `sample`."""
        found = [self.finish(last(states)) for states in self.solutions(z, cond, weights, nfe, solver, guidance)]
        return torch.cat(found) if found else torch.empty(0, *self.spec.shape)

    @torch.no_grad()
    def unfold(
        self,
        seeds: Sequence[int],
        frames: int,
        cond: Batch | None = None,
        weights: str = "ema",
        nfe: int | None = None,
        solver: str | None = None,
        guidance: float | None = None,
    ) -> Tensor:
        """See Unfolds: the solution at equal shares of its steps, on the lines between them; arguments as of `sample`."""
        z = normal_per_seed(seeds, self.size)
        cond = self.conditions(seeds) if cond is None else cond
        found = []
        for states in self.solutions(z, cond, weights, nfe, solver, guidance):
            path = [state.float().cpu() for state in states]
            places = [frame * (len(path) - 1) / (frames - 1) for frame in range(frames - 1)]
            shown = [torch.lerp(path[int(place)], path[int(place) + 1], place % 1) for place in places]
            found.append(torch.stack([*shown, self.finish(path[-1])]))
        return torch.cat(found, dim=1)

    def finish(self, x: Tensor) -> Tensor:
        """Solutions [N, *shape] as samples on the CPU: images clamped to [-1, 1]; of two levels, these two alone."""
        x = x.float().cpu()
        if self.spec.x.dtype != "uint8":
            return x
        return x.clamp(-1, 1) if self.spec.x.levels > 2 else torch.where(x < 0, -1.0, 1.0)

    def solutions(
        self,
        z: Tensor,
        cond: Batch | None,
        weights: str,
        nfe: int | None,
        solver: str | None,
        guidance: float | None,
    ) -> Iterator[Iterator[Tensor]]:
        """For each SAMPLE_BATCH rows of z [N, D]: an iterator over the states [n, *shape] after 0, 1 ... steps, as `shown`."""
        nfe, solver = self.nfe if nfe is None else nfe, self.solver if solver is None else solver
        guidance = self.guidance if guidance is None else guidance
        check_solver(solver, nfe)
        self.check_guidance(guidance)
        times, y, network = self.times(count_steps(solver, nfe)), self.condition_of(cond), self.network(weights)
        with evaluating(network):
            for size, z_batch, y_batch in batches(z, y, next(network.parameters())):
                x = z_batch.unflatten(1, self.spec.shape) * self.noise_scale
                states = solve(solver, partial(self.guided, network, y_batch, guidance), x, times, nfe)
                yield (self.shown(state, t)[:size] for state, t in zip(chain([x], states), times, strict=True))

    def guided(self, network: nn.Module, y: Tensor | None, guidance: float, x: Tensor, t: float) -> Tensor:
        """v [B, *shape] at x [B, *shape] and one time for all, with classifier-free guidance."""
        time = torch.full((len(x),), t, dtype=x.dtype, device=x.device)
        if guidance == 1 or y is None:
            return self.velocity(network, x, time, y)
        both = torch.cat([torch.full_like(y, self.null), y])
        null, conditional = self.velocity(network, torch.cat([x, x]), torch.cat([time, time]), both).chunk(2)
        return null + guidance * (conditional - null)

    def check_guidance(self, guidance: float) -> None:
        """Raise UserError where guidance is not possible."""
        if guidance != 1 and not self.classes:
            raise UserError(
                f"guidance={guidance} needs classes and this model has none: leave it out, or train with model.conditional=true"
            )
        if guidance != 1 and not self.condition_dropout:
            raise UserError(
                f"guidance={guidance} needs a model that was also trained without classes: leave it out, or train with "
                "model.condition_dropout=0.1"
            )

    # Likelihood

    @property
    def bound(self) -> str:
        """See BoundsLikelihood."""
        levels = ", uniform dequantisation" if self.level_width else ""
        return f"probability-flow ODE, {self.likelihood_steps} steps of Heun{levels}"

    def nll(self, batch: Batch, weights: str = "ema") -> tuple[Tensor, Tensor]:
        """See BoundsLikelihood: with a quarter of the steps."""
        return self.integrated_nll(batch, max(1, self.likelihood_steps // 4), weights)

    def tight_nll(self, batch: Batch, weights: str = "ema") -> tuple[Tensor, Tensor]:
        """See BoundsLikelihood."""
        return self.integrated_nll(batch, self.likelihood_steps, weights)

    @torch.no_grad()
    def integrated_nll(self, batch: Batch, steps: int, weights: str = "ema") -> tuple[Tensor, Tensor]:
        """-log p(x | y) [B] in nats and the number of dimensions [B], by the change of variables along the ODE.

        d log p(u(s)) / ds = -div v(u(s), s) (Chen et al. 2018, arXiv:1806.07366, eq. 8), see `flow_back`. Of levels it is an
        upper bound: -log of the probability of a level is at most the mean of -log(p(x) * level width^D) over the level. Row i
        always has the same random numbers.
        """
        x, y = batch["x"], self.condition_of(batch)
        rows = [rng.generator(row, "likelihood") for row in range(len(x))]
        uniform = torch.stack([torch.rand(self.size, generator=row) for row in rows])
        probe = torch.stack([torch.randint(2, (self.size,), generator=row) for row in rows]).mul_(2).sub_(1)  # [B, D]
        first, noise = self.likelihood_scales
        u = first * self.dequantised(x, uniform.to(x.device))
        with evaluating(self.network(weights)) as network:
            u, divergence = flow_back(lambda u, s: self.likelihood_velocity(network, u, s, y), u, probe.to(u), steps)
        z = (u / noise).flatten(1).double()
        log_scale = math.log(first / noise / math.sqrt(2 * math.pi) * (self.level_width or 1.0))
        log_p = divergence.double() - 0.5 * z.square().sum(1) + self.size * log_scale
        return -log_p, torch.full_like(log_p, self.size, dtype=torch.int64)

    # Export

    def generator_of(self, weights: str = "ema") -> nn.Module:
        """See Exports: the network."""
        return self.network(weights)

    def example_inputs(self) -> dict[str, Tensor]:
        """See Exports. The output has the name x, so the input is x_t."""
        y = self.conditions(range(self.classes))
        rows = max(1, self.classes)
        return {"x_t": torch.zeros(rows, *self.spec.shape), "t": torch.full((rows,), 0.5), **y}


def stratified(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Numbers [B, 1] from U(0, 1), one in each of B equal intervals (Kingma et al. 2021, arXiv:2107.00630, appendix I.1).

    A mean over the batch then varies less, and the sample of an interval is as random as before: batches are shuffled.
    """
    return (torch.arange(shape[0])[:, None] + torch.rand(shape, generator=generator)) / shape[0]
