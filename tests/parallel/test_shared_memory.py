"""Real processes add up what each of them has, through memory that all of them see."""

import os
import platform
import time
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from src.parallel import collectives as distributed
from src.parallel import shared_memory
from src.parallel.collectives import add_up, share_memory

SIZES = (1, 7, 1000, 3 * shared_memory.CHUNK // 4 + 5)  # the last in several chunks
DTYPES = (torch.float32, torch.float64, torch.int64)

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64" or not hasattr(os, "memfd_create"), reason="not possible here")


def terms(rank: int) -> list[torch.Tensor]:
    """What a process has, in many sizes and kinds."""
    random = torch.Generator().manual_seed(rank)
    return [(torch.randn(n, generator=random) * 100).to(dtype) for n in SIZES for dtype in DTYPES for _ in range(3)]


def join(rank: int, size: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=size)
    share_memory(True)
    assert distributed._board is not None


def adds(rank: int, size: int, folder: str) -> None:
    join(rank, size, folder)
    found = terms(rank)
    for x in found:
        add_up(x)
    torch.save(found, Path(folder) / f"{rank}.pt")
    share_memory(False)
    add_up(x := torch.ones(2))  # as before
    assert x.tolist() == [size, size]
    dist.destroy_process_group()


def in_pairs(x: list[torch.Tensor]) -> torch.Tensor:
    while len(x) > 1:
        x = [x[n] + x[n + 1] if n + 1 < len(x) else x[n] for n in range(0, len(x), 2)]
    return x[0]


@pytest.mark.parametrize("size", [2, 3, 4])
def test_all_have_the_same_sum_which_is_made_in_pairs(size: int, tmp_path: Path) -> None:
    mp.spawn(adds, (size, str(tmp_path)), nprocs=size)
    wanted = [in_pairs(list(of_all)) for of_all in zip(*(terms(rank) for rank in range(size)), strict=True)]
    for rank in range(size):
        for found, expected in zip(torch.load(tmp_path / f"{rank}.pt", weights_only=True), wanted, strict=True):
            assert torch.equal(found, expected)


def dies(rank: int, size: int, folder: str) -> None:
    join(rank, size, folder)
    if rank == 1:
        os._exit(0)
    began = time.monotonic()
    with pytest.raises(RuntimeError, match="process 1 has died"):
        add_up(torch.ones(2))
    assert time.monotonic() - began < 5
    Path(folder, "noticed").touch()


def test_a_process_that_has_died_is_noticed(tmp_path: Path) -> None:
    mp.spawn(dies, (2, str(tmp_path)), nprocs=2)
    assert (tmp_path / "noticed").exists()


def other_processor(rank: int, size: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=size)
    platform.machine = lambda: "aarch64"
    share_memory(True)
    assert distributed._board is None
    add_up(x := torch.ones(2))
    assert x.tolist() == [size, size]
    dist.destroy_process_group()


def test_other_processors_do_without(tmp_path: Path) -> None:
    mp.spawn(other_processor, (2, str(tmp_path)), nprocs=2)
