"""Orders of convergence on equations with a closed form, and exact numbers of evaluations."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from src.config.errors import UserError
from src.models.solvers import SOLVERS, check_solver, count_steps, solve

X = torch.tensor([[1.0], [-2.0]], dtype=torch.float64)


def pulled(x: Tensor, t: float) -> Tensor:
    """dx/dt = x cos t, so that x(t) = x(0) exp(sin t)."""
    return x * math.cos(t)


def equal(steps: int) -> list[float]:
    return [3 * step / steps for step in range(steps + 1)]


def unequal(steps: int) -> list[float]:
    return [3 * (step / steps) ** 2 for step in range(steps + 1)]


def backward(steps: int) -> list[float]:
    return unequal(steps)[::-1]


def error(solver: str, grid: Callable[[int], list[float]], nfe: int) -> float:
    times = grid(count_steps(solver, nfe))
    *_, found = solve(solver, pulled, X, times, nfe)
    return (found - X * math.exp(math.sin(times[-1]) - math.sin(times[0]))).abs().max().item()


@pytest.mark.parametrize("grid", [equal, unequal, backward])
@pytest.mark.parametrize(("solver", "order"), [("euler", 1), ("heun", 2), ("multistep", 2)])
def test_order_of_convergence(solver: str, order: int, grid: Callable[[int], list[float]]) -> None:
    coarse, fine = (error(solver, grid, nfe) for nfe in (201, 401))
    assert math.log2(coarse / fine) == pytest.approx(order, abs=0.15)


@pytest.mark.parametrize("solver", SOLVERS)
def test_evaluations_are_as_many_as_asked_for(solver: str) -> None:
    for nfe in range(1, 12):
        seen: list[float] = []

        def velocity(x: Tensor, t: float, seen: list[float] = seen) -> Tensor:
            seen.append(t)
            return pulled(x, t)

        times = equal(count_steps(solver, nfe))
        states = list(solve(solver, velocity, X, times, nfe))
        assert (len(seen), len(states)) == (nfe, len(times) - 1)
        assert 3.0 not in seen  # the end, where a velocity may be undefined


def test_heun_without_a_step_of_euler() -> None:
    """One step of dx/dt = x by hand: 1 + h + h^2 / 2."""
    (found,) = solve("heun", lambda x, t: x, X, [0.0, 0.5], 2)
    torch.testing.assert_close(found, X * 1.625)


def test_the_multistep_solver_is_exact_where_the_velocity_is_a_line_of_time() -> None:
    """After its first step, on unequal steps: dx/dt = 2 t."""
    states = list(solve("multistep", lambda x, t: torch.full_like(x, 2 * t), torch.zeros(1), [0.0, 1.0, 1.5, 4.0], 3))
    torch.testing.assert_close(torch.cat(states), torch.tensor([0.0, 1.25, 15.0]))


@pytest.mark.parametrize(
    ("solver", "nfe", "message"),
    [
        ("rk4", 10, "solver=rk4 is not known: take one of euler, heun, multistep"),
        ("euler", 0, "nfe=0"),
        ("heun", 1001, "nfe=1001: "),
    ],
)
def test_refusals(solver: str, nfe: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_solver(solver, nfe)
