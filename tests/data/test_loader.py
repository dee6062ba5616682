from itertools import islice

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from src.data.dataset import Split
from src.data.loader import Blocks, Rows


def flat(blocks: Blocks, count: int) -> list[list[int]]:
    """The first `count` batches, whatever blocks they come in."""
    return [batch.tolist() for batch in islice((batch for block in blocks for batch in block), count)]


def make(**changes: object) -> Blocks:
    return Blocks(**{"samples": 23, "batch_size": 4, "seed": 1, "start": 0, "stop": None} | changes)  # type: ignore[arg-type]


def test_an_epoch_shows_every_sample_at_most_once_and_epochs_differ() -> None:
    batches = flat(make(), 10)  # 23 // 4 = 5 batches to an epoch
    first, second = np.concatenate(batches[:5]), np.concatenate(batches[5:])
    assert len(set(first)) == len(set(second)) == 20
    assert first.tolist() != second.tolist()


def test_order_depends_on_the_seed() -> None:
    assert flat(make(), 5) != flat(make(seed=2), 5)


@pytest.mark.parametrize("start", range(12))
def test_starting_late_goes_on_with_the_same_batches(start: int) -> None:
    assert flat(make(start=start, d_steps=2), 6) == flat(make(d_steps=2), 2 * start + 6)[2 * start :]


@pytest.mark.parametrize("size", [1, 3, 50])
def test_blocks_change_no_batch(size: int) -> None:
    assert flat(make(size=size, stop=12), 99) == flat(make(stop=12), 99)


def test_blocks_end_at_cuts_and_at_the_end() -> None:
    blocks = list(make(size=4, start=1, stop=12, d_steps=2, cut=lambda step: step in (2, 7)))
    assert [len(block) // 2 for block in blocks] == [1, 4, 1, 4, 1]  # steps 2, 6, 7, 11, 12


def test_ranks_share_each_batch() -> None:
    whole = flat(make(), 7)
    halves = [flat(make(rank=rank, world_size=2), 7) for rank in (0, 1)]
    assert [a + b for a, b in zip(*halves, strict=True)] == whole


@pytest.mark.parametrize("workers", [0, 2])
def test_any_number_of_workers_gives_the_same_batches(workers: int) -> None:
    split = Split(np.arange(23, dtype=np.uint8).reshape(23, 1), np.arange(23))
    loader = DataLoader(Rows(split), batch_size=None, sampler=make(size=3, stop=9), num_workers=workers)
    rows = torch.cat([block.x.flatten(0, 1) for block in loader]).flatten()
    assert rows.tolist() == np.concatenate(flat(make(stop=9), 9)).tolist()
