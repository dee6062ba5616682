"""Batches of a data set: one indexed read per block of updates, in an order that depends on (seed, epoch) alone."""

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from pytorch_lightning import LightningDataModule
from torch.utils.data import DataLoader, get_worker_info

from src.config.errors import UserError
from src.data.dataset import Dataset, Split
from src.data.spec import Batch, Spec
from src.training import rng

BLOCK_BYTES = 4_000_000  # most bytes of a block, unless a single update takes more
PREFETCH = 2  # blocks that each worker prepares ahead
SHARED = "/dev/shm"  # where workers hand blocks over, in Linux
REMEDY = "take fewer data.workers, a smaller data.batch_size, or more shared memory (docker run --shm-size=...)"


class Blocks:
    """Sampler of index blocks [updates * batches_per_update, batch] for one epoch of updates, starting at step `at()`.

    Batch p of an epoch holds the indices p * batch ... (p + 1) * batch - 1 of the epoch's permutation, independent of earlier
    batches; the incomplete last batch of an epoch is left out. An update belongs to the epoch of its first batch. A block
    ends after `size` updates, or after a step for which `cut(step)` is true: logging, samples and checkpoints happen between
    blocks, so exactly at their step.

    stop: the step at which the run ends, None for no end. local: this rank's slice of a batch.
    """

    def __init__(
        self,
        samples: int,
        batch_size: int,
        seed: int,
        at: Callable[[], int] = lambda: 0,
        stop: int | None = None,
        batches_per_update: int = 1,
        size: int = 1,
        cut: Callable[[int], bool] = lambda step: False,
        local: slice = slice(None),
    ) -> None:
        self.samples, self.batch_size, self.seed, self.at, self.stop = samples, batch_size, seed, at, stop
        self.batches_per_update, self.size, self.cut, self.local = batches_per_update, size, cut, local
        self._epoch, self._order = -1, np.empty(0, dtype=np.int64)

    def __iter__(self) -> Iterator[np.ndarray]:
        step = self.at()
        epoch = self.epoch_of(step)
        while step != self.stop and self.epoch_of(step) == epoch:
            end = step + 1
            while end - step < self.size and end != self.stop and self.epoch_of(end) == epoch and not self.cut(end):
                end += 1
            numbers = range(step * self.batches_per_update, end * self.batches_per_update)
            yield np.stack([self.batch(number) for number in numbers])
            step = end

    def epoch_of(self, step: int) -> int:
        return step * self.batches_per_update // (self.samples // self.batch_size)

    def batch(self, number: int) -> np.ndarray:
        """Indices [local batch] of batch `number`, counted from the start of the run."""
        epoch, position = divmod(number, self.samples // self.batch_size)
        if epoch != self._epoch:
            self._epoch = epoch
            self._order = np.random.default_rng(rng.key(self.seed, "order", epoch)).permutation(self.samples)
        return self._order[position * self.batch_size :][: self.batch_size][self.local]


class Rows(torch.utils.data.Dataset):
    """A split as a torch data set: an array of indices [...] gives a batch of tensors [..., *field.shape]."""

    def __init__(self, split: Split) -> None:
        self.split = split

    def __getitem__(self, index: np.ndarray) -> Batch:
        batch = {name: torch.from_numpy(rows) for name, rows in self.split.batch(index).items()}
        if get_worker_info() is not None:
            # Else torch does it in a thread, where an error is printed and the training waits for ever.
            batch = {name: rows.share_memory_() for name, rows in batch.items()}
        return batch


class DataModule(LightningDataModule):
    """Batches of the training split for one run, starting at the model's step; an epoch is one pass over the data.

    batch_size: global, over all ranks.
    workers: loader processes; the batches are the same for any number.
    stop: the step at which the run ends, None to leave it to the Trainer.
    block: most updates per Lightning batch, fewer if they would take more than BLOCK_BYTES. cut: as in Blocks. Neither
    changes a batch.
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int,
        seed: int,
        workers: int = 0,
        stop: int | None = None,
        block: int = 1,
        cut: Callable[[int], bool] = lambda step: False,
    ) -> None:
        super().__init__()
        self.split, self.spec = dataset.split("train"), dataset.spec
        self.batch_size, self.seed, self.workers = batch_size, seed, workers
        self.stop, self.block, self.cut = stop, block, cut

    def train_dataloader(self) -> DataLoader:
        trainer: Any = self.trainer
        model, local = trainer.lightning_module, self.batch_size // trainer.world_size
        update_bytes = local * model.batches_per_update * bytes_of(self.spec)
        size = max(1, min(self.block, BLOCK_BYTES // update_bytes))
        if self.workers:
            processes = trainer.world_size // trainer.num_nodes
            check_shared(processes * (self.workers * PREFETCH + 1) * size * update_bytes, self.workers)
        blocks = Blocks(
            samples=len(self.split),
            batch_size=self.batch_size,
            seed=self.seed,
            at=lambda: model.step,
            stop=self.stop,
            batches_per_update=model.batches_per_update,
            size=size,
            cut=self.cut,
            local=slice(trainer.global_rank * local, (trainer.global_rank + 1) * local),
        )
        return DataLoader(
            Rows(self.split),
            batch_size=None,  # the sampler's blocks are the batches
            sampler=blocks,
            num_workers=self.workers,
            prefetch_factor=PREFETCH if self.workers else None,
            pin_memory=trainer.strategy.root_device.type == "cuda",
        )


def bytes_of(spec: Spec) -> int:
    """Bytes of one sample."""
    return sum(int(np.prod(field.shape)) * np.dtype(field.dtype).itemsize for field in spec.fields.values())


def free_shared() -> int | None:
    """Bytes of shared memory that are free, None where there is no bound."""
    try:
        return shutil.disk_usage(SHARED).free
    except OSError:  # not Linux
        return None


def check_shared(needed: int, workers: int) -> None:
    """Raise UserError if the workers' blocks, in bytes, do not fit into the shared memory."""
    free = free_shared()
    if free is not None and needed > free:
        raise UserError(
            f"data.workers={workers}: the batches in the making take {needed / 1e6:,.1f} MB of {SHARED}, which has "
            f"{free / 1e6:,.1f} MB free: {REMEDY}"
        )


def failure(error: Exception) -> str | None:
    """One line for the death of a loader process, and for an error in one that the user can fix; None for other errors."""
    text = str(error)
    if "DataLoader worker" not in text:
        return None
    if isinstance(error, UserError):  # with the traceback of its process
        return text.rpartition("UserError: ")[2].strip()
    if "No space left on device" in text:
        return f"{SHARED} is full: {REMEDY}"
    if "killed by signal" in text or "exited unexpectedly" in text:
        return f"a loader process of data.workers has died, perhaps for want of memory: {REMEDY}"
    return None
