"""What several processes agree on. With one process nothing happens here.

Each process draws the *global* batch and keeps an equal slice, so a mean over the batch is the mean of the processes' means.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from src.parallel.shared_memory import Board, open_board

Result = TypeVar("Result")


def together() -> bool:
    """Whether there are other processes."""
    return dist.is_available() and dist.is_initialized()


def world_size() -> int:
    return dist.get_world_size() if together() else 1


def pieces() -> int:
    """Into how many the global batch is divided: the processes', or the parts that they take one after the other."""
    return world_size() * _parts


def is_first() -> bool:
    """Whether this process is the one that decides, prints and writes."""
    return not together() or dist.get_rank() == 0


# While training

_board: Board | None = None  # where the processes are all on this machine, and it can be had
_part, _parts = 0, 1  # of this process's batch: the one that is being worked on, and how many (gradient accumulation)


def share_memory(wanted: bool) -> None:
    """Have sums go through memory that the processes share, from now on; or no longer. All of them call this."""
    global _board
    if _board:
        _board.close()
    _board = open_board() if wanted else None


@contextlib.contextmanager
def only(part: int, parts: int) -> Iterator[None]:
    """What is done in this context is done to one part, of 0..parts - 1, of this process's batch."""
    global _part, _parts
    _part, _parts = part, parts
    try:
        yield
    finally:
        _part, _parts = 0, 1


def draw_rows(draw: Callable[..., Tensor], shape: Sequence[int], **options: Any) -> Tensor:
    """The rows here, of that shape, of the numbers that `draw` (torch.randn, torch.rand) makes for the global batch.

    From a generator among the options, or from torch's global ones (`rng.seed_layers`). It stands at the same place for each
    process and part: the whole batch gets the same numbers however it is divided.
    """
    numbers = draw((pieces() * shape[0], *shape[1:]), **options)
    piece = (dist.get_rank() if together() else 0) * _parts + _part
    return numbers[piece * shape[0] :][: shape[0]]


def mean_over_processes(x: Tensor) -> Tensor:
    """A statistic of this process's part of the batch, any shape, averaged over all processes; gradients go back to each."""
    return Mean.apply(x) if together() else x


def from_all_processes(x: Tensor) -> Tensor:
    """A statistic of this process's part of the batch, any shape, as [processes, *x.shape]; gradients go back to each."""
    if not together():
        return x[None]
    own = torch.arange(dist.get_world_size(), device=x.device) == dist.get_rank()
    return mean_over_processes(dist.get_world_size() * own.view(-1, *[1] * x.dim()) * x)


class Mean(torch.autograd.Function):
    """The mean over the processes. It is its own derivative: each process gets the mean of their gradients, at any order."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        x = x.clone(memory_format=torch.contiguous_format)
        add_up(x)
        return x / dist.get_world_size()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return Mean.apply(gradient)


@torch.no_grad()
def average_over_processes(tensors: Sequence[Tensor]) -> None:
    """Replace each tensor, in its place, by its mean over all processes: one message for all of them."""
    if not together():
        return
    flat = torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
    add_up(flat)
    flat /= dist.get_world_size()
    parts = flat.split([tensor.numel() for tensor in tensors])
    torch._foreach_copy_([tensor.detach() for tensor in tensors], [p.view_as(t) for p, t in zip(parts, tensors, strict=True)])


def add_up(x: Tensor) -> None:
    """Replace a contiguous tensor, in its place, by its sum over all processes."""
    if _board and not x.is_cuda:
        _board.add_up(x)
    else:
        dist.all_reduce(x)


def mean_of_scalars(values: dict[str, float]) -> dict[str, float]:
    """Numbers under the same names in all processes, averaged over them."""
    if not together():
        return values
    numbers = torch.tensor(list(values.values()), dtype=torch.float64)
    average_over_processes([numbers])
    return dict(zip(values, numbers.tolist(), strict=True))


def total(value: float) -> float:
    """The sum of the numbers that the processes have."""
    return reduced(value, dist.ReduceOp.SUM)


def largest(value: float) -> float:
    """The largest of the numbers that the processes have: what one of them has seen (a signal) all of them know."""
    return reduced(value, dist.ReduceOp.MAX)


def reduced(value: float, operation: Any) -> float:
    if not together():
        return value
    number = torch.tensor(value, dtype=torch.float64)
    dist.all_reduce(number, operation)
    return number.item()


# Beside it


def whole(state: Any) -> Any:
    """A state_dict with its tensors put together where each process keeps a part of them (fsdp). All processes call this."""
    if hasattr(state, "full_tensor"):  # a DTensor, whose import takes a second
        return state.full_tensor()
    return {name: whole(value) for name, value in state.items()} if isinstance(state, dict) else state


def from_first(function: Callable[[], Result]) -> Result:
    """What `function` gives in the first process, in all of them."""
    if not together():
        return function()
    found: list[Any] = [function() if is_first() else None]
    dist.broadcast_object_list(found)
    return found[0]


def shared(function: Callable[[slice], Result], n: int, batch: int) -> list[Result]:
    """function(rows) for parts of the rows 0..n, in order: each process makes one, and all get all of them.

    The parts begin at multiples of `batch`, so that what is made in batches of that size is the same to the last bit.
    """
    if not together():
        return [function(slice(0, n))]
    batches = -(-n // batch)
    first, last = (batches * rank // dist.get_world_size() * batch for rank in (dist.get_rank(), dist.get_rank() + 1))
    found: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(found, function(slice(first, min(last, n))) if first < last else None)
    return [part for part in found if part is not None]
