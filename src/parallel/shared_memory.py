"""Sums over the processes of one machine, through memory that all of them see.

gloo's messages go through sockets, and between two busy cores one in ten waits 4 ms for the kernel, which is as long as a small
network's whole update. What one process writes into memory is there for the others at once.
"""

import fcntl
import mmap
import os
import platform
import sys
import time

import torch
import torch.distributed as dist
from torch import Tensor

CHUNK = 2**20  # bytes shown at a time: they stay in the processors' caches
LINE = 64  # bytes that a processor fetches at once: each counter has its own
PATIENCE = 0.2  # seconds without an answer, after which a process looks whether the others live


class Board:
    """Memory in which each process has a counter and two slots. All processes make one together, and use it alike.

    At turn t a process copies a chunk into its slot t % 2, sets its counter to t, waits until all counters are t or t + 1, and
    reads all slots t % 2. It writes into that slot again at turn t + 2: when all counters were t + 1, all had read turn t.
    The processors must show each other writes in the order in which they were made, as those of x86 do.

    file: the descriptor of a file of `bytes_of(size)`, open for reading and writing.
    """

    def __init__(self, file: int, rank: int, size: int) -> None:
        self.rank, self.size, self._file, self._turn = rank, size, file, 0
        memory = mmap.mmap(file, bytes_of(size))
        self._counters = memoryview(memory)[: LINE * size].cast("q")[:: LINE // 8]
        self._slots = torch.frombuffer(memory, dtype=torch.uint8, offset=LINE * size).view(2, size, CHUNK)
        fcntl.lockf(file, fcntl.LOCK_EX, 1, rank)  # until this process ends, in whatever way

    def add_up(self, x: Tensor) -> None:
        """Replace a contiguous tensor, in its place, by its sum over all processes, in pairs: (0 + 1) + (2 + 3) and so on.

        RuntimeError where another process has died.
        """
        for chunk in x.view(-1).split(CHUNK // x.element_size()):
            self._turn += 1
            slots = self._slots[self._turn % 2, :, : chunk.nbytes].view(x.dtype)
            slots[self.rank] = chunk
            self._counters[self.rank] = self._turn
            self._wait()
            terms = list(slots)
            while len(terms) > 2:
                pairs = [torch.add(*terms[n : n + 2]) for n in range(0, len(terms) - 1, 2)]
                terms = pairs + terms[2 * len(pairs) :]
            torch.add(*terms, out=chunk)

    def _wait(self) -> None:
        """For the other processes to come to this turn."""
        since = time.monotonic()
        while min(self._counters) < self._turn:
            os.sched_yield()
            if time.monotonic() - since > PATIENCE:
                for rank in range(self.size):
                    self._check(rank)
                time.sleep(1e-3)

    def _check(self, rank: int) -> None:
        if rank == self.rank:
            return
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, rank)
        except OSError:  # it has its lock, so it lives
            return
        fcntl.lockf(self._file, fcntl.LOCK_UN, 1, rank)  # the others are to find it free as well
        raise RuntimeError(f"process {rank} has died")

    def close(self) -> None:
        os.close(self._file)


def bytes_of(size: int) -> int:
    return size * (LINE + 2 * CHUNK)


def open_board() -> Board | None:
    """One for all processes of the group, which must be on this machine; None, for all of them, where that is not possible."""
    rank, size = dist.get_rank(), dist.get_world_size()
    if size == 1 or sys.platform != "linux" or platform.machine() != "x86_64":
        return None
    place: list[tuple[int, int]] = [(0, 0)]
    if rank == 0:
        file = os.memfd_create("aigc-lab")
        os.posix_fallocate(file, 0, bytes_of(size))  # now, not when it is first written to
        place = [(os.getpid(), file)]
    dist.broadcast_object_list(place)
    if rank > 0:
        file = os.open("/proc/{}/fd/{}".format(*place[0]), os.O_RDWR)
    board = Board(file, rank, size)
    dist.barrier()  # all have their locks
    return board
