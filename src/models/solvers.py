"""Solvers of dx/dt = v(x, t) with an exact number of evaluations of v."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from src.config.errors import UserError

SOLVERS = "euler", "heun", "multistep"
EXACT = 16  # dimensions up to which a divergence is computed exactly, by one backward pass for each
MOST = 1000  # evaluations; the error of float32 numbers is above that of the solvers long before

Velocity = Callable[[Tensor, float], Tensor]  # (x [B, ...], t) to dx/dt [B, ...]


def check_solver(solver: str, nfe: int) -> None:
    """Raise UserError for an unknown solver or a number of evaluations out of range."""
    if solver not in SOLVERS:
        raise UserError(f"solver={solver} is not known: take one of {', '.join(SOLVERS)}")
    if not 1 <= nfe <= MOST:
        raise UserError(f"nfe={nfe}: must be from 1 to {MOST:,}, and 10 to 50 are mostly enough")


def count_steps(solver: str, nfe: int) -> int:
    """Steps of a solver that evaluates v exactly `nfe` times.

    Euler and the multistep solver evaluate once per step. Heun's method evaluates twice, except in the last step, which is
    Euler's, and for an even `nfe` also in the last but one.
    """
    return nfe // 2 + 1 if solver == "heun" else nfe


def solve(solver: str, velocity: Velocity, x: Tensor, times: Sequence[float], nfe: int) -> Iterator[Tensor]:
    """Yield x [B, ...] after each step along `times`, which begin with the time of the given x and may rise or fall.

    solver: "euler", of first order; "heun", of second order; "multistep", the two-step method of Adams and Bashforth with
    variable steps, of second order, whose first step is Euler's. nfe: evaluations of v. len(times) - 1 is
    `count_steps(solver, nfe)`, or for Heun's method also nfe / 2: then no step is Euler's.
    """
    second_order = nfe - (len(times) - 1) if solver == "heun" else 0  # steps of Heun's method, the first ones
    before: tuple[Tensor, float] | None = None  # v and length of the step before
    for step, (now, then) in enumerate(pairwise(times)):
        v, h = velocity(x, now), then - now
        if step < second_order:
            x = x + h / 2 * (v + velocity(x + h * v, then))
        elif solver == "multistep" and before is not None:
            # v is extrapolated linearly from the last two: the integral of the line over the step.
            share = h / before[1] / 2
            x = x + h * ((1 + share) * v - share * before[0])
        else:
            x = x + h * v
        before = v, h
        yield x


def last(states: Iterator[Tensor]) -> Tensor:
    """The last of them; the others are not kept."""
    return deque(states, maxlen=1)[0]


def flow_back(velocity: Velocity, u: Tensor, probe: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """u [B, *shape] at s = 1, and the integral of the divergence of v along its way from s = 0, [B], by Heun's method.

    velocity: du/ds. probe: [B, D] of -1 and 1, the e of Hutchinson's estimate e^T (dv/du) e (Grathwohl et al. 2019,
    arXiv:1810.01367, eq. 7); the divergence of few dimensions is exact.
    """
    shape = u.shape[1:]

    def rates(state: Tensor, s: float) -> Tensor:
        """du/ds and the divergence, [B, D + 1], at a state [B, D + 1]."""
        with torch.enable_grad():
            u = state[:, :-1].unflatten(1, shape).requires_grad_()
            v = velocity(u, s).flatten(1)
            if v.shape[1] > EXACT:
                divergence = (torch.autograd.grad(v, u, probe)[0].flatten(1) * probe).sum(1)
            else:
                sums = v.sum(0)  # [D]; row i depends on u[i] alone
                slopes = [torch.autograd.grad(total, u, retain_graph=True)[0].flatten(1) for total in sums]
                divergence = torch.stack([slope[:, i] for i, slope in enumerate(slopes)]).sum(0)
        return torch.cat([v.detach(), divergence[:, None]], dim=1)

    state = torch.cat([u.flatten(1), torch.zeros_like(u.flatten(1)[:, :1])], dim=1)
    state = last(solve("heun", rates, state, [step / steps for step in range(steps + 1)], 2 * steps))
    return state[:, :-1].unflatten(1, shape), state[:, -1]
