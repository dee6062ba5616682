"""From a data set to batches: one indexed read per block, in an order that depends on (seed, epoch) alone."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from pytorch_lightning import LightningDataModule
from torch.utils.data import DataLoader

from src.data.dataset import Dataset, Split
from src.data.pixels import from_uint8
from src.data.rows import indexed
from src.data.spec import Batch
from src.training import rng


class Blocks:
    """Sampler of index blocks [updates * d_steps, batch] for the generator updates start..stop.

    Batch number p of a run holds rows p * batch ... of the permutation of its epoch, whatever came before it; the incomplete
    last batch of an epoch is left out. A block ends after `size` updates, or after a step for which `cut(step)` is true, so
    that what happens between blocks (logging, samples, checkpoints) happens exactly at its step.
    """

    def __init__(
        self,
        samples: int,
        batch_size: int,
        seed: int,
        start: int,
        stop: int | None,
        d_steps: int = 1,
        size: int = 1,
        cut: Callable[[int], bool] = lambda step: False,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.samples, self.batch_size, self.seed = samples, batch_size, seed
        self.start, self.stop, self.d_steps, self.size, self.cut = start, stop, d_steps, size, cut
        local = batch_size // world_size
        self.local = slice(rank * local, (rank + 1) * local)
        self._epoch, self._order = -1, np.empty(0, dtype=np.int64)

    def __iter__(self) -> Iterator[np.ndarray]:
        step = self.start
        while self.stop is None or step < self.stop:
            end = step + 1
            while end - step < self.size and end != self.stop and not self.cut(end):
                end += 1
            yield np.stack([self.batch(number) for number in range(step * self.d_steps, end * self.d_steps)])
            step = end

    def batch(self, number: int) -> np.ndarray:
        """Indices [local batch] of batch `number`, counted from the start of the run."""
        epoch, position = divmod(number, self.samples // self.batch_size)
        if epoch != self._epoch:
            self._epoch = epoch
            self._order = np.random.default_rng(rng.key(self.seed, "order", epoch)).permutation(self.samples)
        return self._order[position * self.batch_size :][: self.batch_size][self.local]


class Rows(torch.utils.data.Dataset):
    """A split that is read by arrays of indices [...] and answers with a Batch [..., *shape]."""

    def __init__(self, split: Split) -> None:
        self.x, self.y = indexed(split.x), split.y

    def __getitem__(self, index: np.ndarray) -> Batch:
        y = None if self.y is None else torch.from_numpy(self.y[index])
        return Batch(torch.from_numpy(self.x[index]), y)


class DataModule(LightningDataModule):
    """Batches of the training split for one run, from the step at which its model stands.

    batch_size: the global one, over all processes.
    workers: loader processes; the batches are the same for any number.
    stop: the generator step to end at, None for never.
    block, cut: as in Blocks; neither changes a batch.
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int,
        seed: int,
        workers: int = 0,
        d_steps: int = 1,
        stop: int | None = None,
        block: int = 1,
        cut: Callable[[int], bool] = lambda step: False,
    ) -> None:
        super().__init__()
        self.split = dataset.split("train")
        self.batch_size, self.seed, self.workers, self.d_steps = batch_size, seed, workers, d_steps
        self.stop, self.block, self.cut = stop, block, cut

    def train_dataloader(self) -> DataLoader:
        assert self.trainer is not None
        model: Any = self.trainer.lightning_module.model  # it stands where it was resumed
        blocks = Blocks(
            samples=len(self.split.x),
            batch_size=self.batch_size,
            seed=self.seed,
            start=model.step,
            stop=self.stop,
            d_steps=self.d_steps,
            size=self.block,
            cut=self.cut,
            rank=self.trainer.global_rank,
            world_size=self.trainer.world_size,
        )
        # batch_size=None: the sampler's blocks are the batches.
        return DataLoader(Rows(self.split), batch_size=None, sampler=blocks, num_workers=self.workers)

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Bytes cross to the device; numbers are made there, in the model's precision."""
        if batch.x.dtype != torch.uint8:
            return batch
        assert self.trainer is not None
        return batch._replace(x=from_uint8(batch.x).to(self.trainer.lightning_module.dtype))
