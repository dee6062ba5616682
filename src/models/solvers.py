"""Solvers of dx/dt = v(x, t) with an exact number of evaluations of v."""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from torch import Tensor

from src.config.errors import UserError

SOLVERS = "euler", "heun", "multistep"
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
