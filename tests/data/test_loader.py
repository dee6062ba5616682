import os
import re
import signal
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from pytorch_lightning import Trainer
from torch.utils.data import DataLoader

from src.config.errors import UserError
from src.data.dataset import Arrays
from src.data.digits import Digits
from src.data.loader import BLOCK_BYTES, Blocks, DataModule, Rows, failure
from src.models.model import Model


def make(**changes: Any) -> Blocks:
    return Blocks(**{"samples": 23, "batch_size": 4, "seed": 1} | changes)


def batches(count: int, start: int = 0, **changes: Any) -> list[list[int]]:
    """The first `count` batches from a step on, over as many epochs as they take, whatever blocks they come in."""
    step, found = start, []
    blocks = make(at=lambda: step, **changes)
    while len(found) < count and step != blocks.stop:
        epoch = list(blocks)
        found += [batch.tolist() for block in epoch for batch in block]
        step += sum(map(len, epoch)) // blocks.batches_per_update
    return found[:count]


def test_an_epoch_shows_every_sample_at_most_once_and_epochs_differ() -> None:
    first, second = (np.concatenate(part) for part in np.split(np.array(batches(10)), 2))  # 23 // 4 = 5 batches to an epoch
    assert len(set(first)) == len(set(second)) == 20
    assert first.tolist() != second.tolist()


def test_an_iteration_ends_where_the_epoch_of_the_data_ends() -> None:
    """An update that takes batches of two epochs belongs to the first."""
    for step, left in enumerate([3, 2, 1, 2, 1, 3]):  # of 5 batches, two to an update
        blocks = make(at=lambda step=step: step, batches_per_update=2)
        assert len(list(blocks)) == left


def test_order_depends_on_the_seed() -> None:
    assert batches(5) != batches(5, seed=2)


@pytest.mark.parametrize("start", range(7))
def test_starting_late_goes_on_with_the_same_batches(start: int) -> None:
    assert batches(6, start, batches_per_update=2) == batches(2 * start + 6, batches_per_update=2)[2 * start :]


@pytest.mark.parametrize("size", [3, 50])
def test_blocks_change_no_batch(size: int) -> None:
    assert batches(99, size=size, stop=12) == batches(99, stop=12)
    assert len(batches(99, stop=12)) == 12


def test_blocks_end_at_cuts_and_at_the_end() -> None:
    changes = {"samples": 400, "size": 4, "stop": 12, "batches_per_update": 2, "cut": lambda step: step in (2, 7)}
    blocks = list(make(at=lambda: 1, **changes))
    assert [len(block) // 2 for block in blocks] == [1, 4, 1, 4, 1]  # steps 2, 6, 7, 11, 12


def test_ranks_share_each_batch() -> None:
    halves = [batches(7, local=rows) for rows in (slice(0, 2), slice(2, 4))]
    assert [a + b for a, b in zip(*halves, strict=True)] == batches(7)


@pytest.mark.parametrize("workers", [0, 2])
def test_any_number_of_workers_gives_the_same_batches(workers: int) -> None:
    split = Arrays(x=np.arange(23, dtype=np.uint8).reshape(23, 1), y=np.arange(23))
    loader = DataLoader(Rows(split), batch_size=None, sampler=make(size=3), num_workers=workers)
    for name in ("x", "y"):
        rows = torch.cat([block[name].flatten(0, 1) for block in loader]).flatten()
        assert rows.tolist() == np.concatenate(batches(5)).tolist()


class Counting(Model):
    batches_per_update = 3

    def configure_optimizers(self) -> None:
        pass

    def update(self, batches: Any, *optimizers: Any) -> None:
        self.count(batches)


def loaded(world_size: int = 1, rank: int = 0, **settings: Any) -> list[Any]:
    """The blocks of the first epoch of the digits, without a Trainer."""
    data = DataModule(Digits(), seed=0, **settings)
    data.trainer = SimpleNamespace(  # type: ignore[assignment]
        lightning_module=Counting(Digits().spec, seed=0),
        world_size=world_size,
        global_rank=rank,
        num_nodes=1,
        strategy=SimpleNamespace(root_device=torch.device("cpu")),
    )
    return list(data.train_dataloader())


def test_blocks_are_kept_within_their_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sample has 64 bytes of pixels and 8 of label."""
    assert max(len(block["x"]) for block in loaded(batch_size=10, block=4)) == 4 * 3
    monkeypatch.setattr("src.data.loader.BLOCK_BYTES", 2 * 3 * 10 * 72)
    assert max(len(block["x"]) for block in loaded(batch_size=10, block=4)) == 2 * 3
    monkeypatch.setattr("src.data.loader.BLOCK_BYTES", 1)  # an update alone may take more
    assert max(len(block["x"]) for block in loaded(batch_size=10, block=4)) == 3
    assert BLOCK_BYTES >= 1_000_000


def test_each_rank_loads_its_part() -> None:
    whole, *parts = loaded(batch_size=10), loaded(2, 0, batch_size=10), loaded(2, 1, batch_size=10)
    for block, *halves in zip(whole, *parts, strict=True):
        assert torch.equal(block["x"], torch.cat([half["x"] for half in halves], dim=1))


def test_blocks_in_the_making_must_fit_into_shared_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two workers prepare two blocks each, and one is in use: of three batches of ten samples of 72 bytes each."""
    for free in (None, 5 * 3 * 10 * 72):
        monkeypatch.setattr("src.data.loader.free_shared", lambda free=free: free)
        assert loaded(batch_size=10, workers=2)
    monkeypatch.setattr("src.data.loader.free_shared", lambda: 5 * 3 * 10 * 72 - 1)
    assert loaded(batch_size=10)
    for count, words in [(1, "data.workers=2: .* 0.0 MB free: take fewer data.workers"), (2, "data.workers=2: .*")]:
        with pytest.raises(UserError, match=words) as error:
            loaded(count, batch_size=10 * count, workers=2)
        assert "\n" not in str(error.value)


class Faulty(Digits):
    """Digits whose training split has a fault in a loader process."""

    def __init__(self, fault: Callable[[], Any]) -> None:
        super().__init__()
        self.fault = fault

    def split(self, name: str) -> Any:
        split, fault = super().split(name), self.fault

        class Part:
            def __len__(self) -> int:
                return len(split)

            def batch(self, indices: np.ndarray) -> dict[str, np.ndarray]:
                return fault() or split.batch(indices)

        return Part()


def raise_(error: Exception) -> None:
    raise error


FULL = RuntimeError("unable to write to file </torch_1_2>: No space left on device (28)")


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (lambda: os.kill(os.getpid(), signal.SIGKILL), r"^a loader process of data.workers has died, .*: take fewer"),
        (lambda: os._exit(3), r"^a loader process of data.workers has died, .*: take fewer"),
        (lambda: raise_(UserError("x.npy has been cut short: get it again")), r"^x.npy has been cut short: get it again$"),
        (lambda: raise_(ValueError("a bug")), None),
        (None, r"^/dev/shm is full: take fewer data.workers"),
    ],
)
def test_a_fault_in_a_loader_process_is_one_line(
    fault: Callable[[], Any] | None, words: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if fault is None:
        monkeypatch.setattr(torch.Tensor, "share_memory_", lambda tensor: raise_(FULL))
    data = DataModule(Faulty(fault or (lambda: None)), batch_size=16, seed=0, workers=2)
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    with pytest.raises((RuntimeError, ValueError)) as error:
        Trainer(accelerator="cpu", max_epochs=1, **quiet).fit(Counting(Digits().spec, seed=0), datamodule=data)  # type: ignore[arg-type]
    found = failure(error.value)
    assert found is None if words is None else re.search(words, found or "")
    assert "\n" not in (found or "")


@pytest.mark.parametrize("stop", [None, 30])
def test_epochs_of_a_stock_trainer_are_those_of_the_data(stop: int | None) -> None:
    model = Counting(Digits().spec, seed=0)
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    data = DataModule(Digits(), batch_size=16, seed=0, block=5, stop=stop)
    Trainer(accelerator="cpu", max_epochs=2, **quiet).fit(model, datamodule=data)  # type: ignore[arg-type]
    assert model.step == (stop or 50)  # 2 * (1197 // 16) = 148 batches, three to an update
