"""Two ranks in one process, for tests of rules: processes take seconds to start."""

import threading
from typing import Any

import pytest
import torch.distributed as dist
from torch import Tensor

from src.parallel import collectives


def on_two_ranks(function: Any, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What function() gives on each of two ranks that are threads of this process."""
    here, barrier = threading.local(), threading.Barrier(2, timeout=60)
    posted: list[Any] = [None, None]
    results: list[Any] = [None, None]

    def all_reduce(x: Tensor) -> None:
        posted[here.rank] = x.clone()
        barrier.wait()
        total = posted[0] + posted[1]
        barrier.wait()
        x.copy_(total)

    monkeypatch.setattr(collectives, "is_distributed", lambda: True)
    monkeypatch.setattr(dist, "all_reduce", all_reduce)
    monkeypatch.setattr(dist, "get_world_size", lambda: 2)
    monkeypatch.setattr(dist, "get_rank", lambda: here.rank)

    def run(rank: int) -> None:
        here.rank = rank
        results[rank] = function(rank)

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results
