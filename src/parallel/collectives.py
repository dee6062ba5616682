"""Communication between ranks. In a single process, nothing is communicated and values stay as they are.

Each rank draws the *global* batch and keeps an equal slice, so a mean over the batch is the mean of the ranks' means.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from src.config.errors import UserError
from src.parallel.launch import in_all_ranks

Result = TypeVar("Result")


def is_distributed() -> bool:
    """Whether a process group with more than one rank is initialised."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def world_size() -> int:
    return dist.get_world_size() if is_distributed() else 1


def is_first() -> bool:
    """Whether this is rank 0, which alone prints and writes."""
    return not is_distributed() or dist.get_rank() == 0


# Tensors, in every update


def draw_rows(draw: Callable[..., Tensor], shape: Sequence[int], **options: Any) -> Tensor:
    """This rank's rows, of this shape, of the random numbers for the global batch, [ranks * shape[0], *shape[1:]].

    draw: torch.randn or torch.rand. options: its arguments. The generator (in options, or torch's global one, see
    `rng.seed_layers`) is in the same state in all ranks, so the global batch gets the same numbers at any world size.
    """
    numbers = draw((world_size() * shape[0], *shape[1:]), **options)
    rank = dist.get_rank() if is_distributed() else 0
    return numbers[rank * shape[0] :][: shape[0]]


def mean_over_processes(x: Tensor) -> Tensor:
    """A statistic of this rank's slice of the batch, any shape, averaged over all ranks; gradients flow back to each."""
    return Mean.apply(x) if is_distributed() else x


def from_all_processes(x: Tensor) -> Tensor:
    """A statistic of this rank's slice of the batch, any shape, as [ranks, *x.shape]; gradients flow back to each."""
    if not is_distributed():
        return x[None]
    own = torch.arange(dist.get_world_size(), device=x.device) == dist.get_rank()
    return mean_over_processes(dist.get_world_size() * own.view(-1, *[1] * x.dim()) * x)


def own_rows(count: int, device: torch.device) -> Tensor:
    """Which rows of the global batch are this rank's `count` samples, int64 [count]."""
    rank = dist.get_rank() if is_distributed() else 0
    return torch.arange(count, device=device) + rank * count


class Mean(torch.autograd.Function):
    """The mean over the ranks. Its backward is the same mean, of the ranks' gradients, for derivatives of any order."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        x = x.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(x)
        return x / dist.get_world_size()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return Mean.apply(gradient)


@torch.no_grad()
def average_over_processes(tensors: Sequence[Tensor]) -> None:
    """Replace each tensor, in place, by its mean over all ranks: one flat all-reduce for all of them."""
    if not is_distributed():
        return
    flat = torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    parts = flat.split([tensor.numel() for tensor in tensors])
    torch._foreach_copy_([tensor.detach() for tensor in tensors], [p.view_as(t) for p, t in zip(parts, tensors, strict=True)])


# Numbers and objects, rarely


def mean_of_scalars(values: dict[str, float]) -> dict[str, float]:
    """Numbers under the same names in all ranks, averaged over them."""
    if not is_distributed():
        return values
    numbers = torch.tensor(list(values.values()), dtype=torch.float64)
    average_over_processes([numbers])
    return dict(zip(values, numbers.tolist(), strict=True))


def total(value: float) -> float:
    """The sum over all ranks."""
    return reduced(value, dist.ReduceOp.SUM)


def largest(value: float) -> float:
    """The largest over all ranks: all learn of a signal that one has received."""
    return reduced(value, dist.ReduceOp.MAX)


def reduced(value: float, operation: Any) -> float:
    if not is_distributed():
        return value
    number = torch.tensor(value, dtype=torch.float64)
    dist.all_reduce(number, operation)
    return number.item()


def from_first(function: Callable[[], Result]) -> Result:
    """Call `function` in rank 0 and return its result in all ranks; a UserError in rank 0 is raised in all ranks."""
    if not is_distributed():
        return function()
    result: Any = None
    error: UserError | None = None
    if is_first():
        try:
            result = function()
        except UserError as raised:
            error = raised
    message = [result, error]
    dist.broadcast_object_list(message)
    if error := error or message[1]:
        raise in_all_ranks(error)
    return message[0]


def shared(function: Callable[[slice], Result], n: int, batch: int) -> list[Result]:
    """Divide rows 0..n - 1 between the ranks, call function(rows) in each, and return all results in all ranks, in order.

    The parts begin at multiples of `batch`: results that are computed in such batches are bitwise equal at any world size.
    """
    if not is_distributed():
        return [function(slice(0, n))]
    batches = -(-n // batch)
    first, last = (batches * rank // dist.get_world_size() * batch for rank in (dist.get_rank(), dist.get_rank() + 1))
    found: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(found, function(slice(first, min(last, n))) if first < last else None)
    return [part for part in found if part is not None]
