"""Two real processes agree on what a single one would have found in the whole batch."""

import os
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from src.config.errors import UserError
from src.models.gan.losses import relativistic_average_discriminator
from src.models.gan.regularizers import LeCam, Update
from src.networks.mlp import Dropout
from src.parallel.collectives import draw_rows, mean_over_processes
from src.parallel.place import Place
from src.parallel.processes import Team
from src.training import rng

REAL, FAKE = torch.tensor([2.0, 0.5, -1.0, 3.0]), torch.tensor([-3.0, 0.0, 1.0, 0.5])


def loss_and_gradient(real: torch.Tensor, fake: torch.Tensor) -> dict[str, torch.Tensor]:
    """Of D(x) = w x: what data parallel training averages over the processes."""
    weight = torch.tensor(0.7, requires_grad=True)
    lecam = LeCam(decay=0.5)
    nothing: Any = None
    update = Update(nothing, nothing, nothing, None, real, fake, weight * real, weight * fake)
    loss = relativistic_average_discriminator(weight * real, weight * fake).mean()
    penalty = lecam(update).mean()
    (loss + penalty).backward()
    assert weight.grad is not None
    return {"loss": loss.detach(), "penalty": penalty.detach(), "gradient": weight.grad, "means": lecam.means}


def drawn(rows: int) -> dict[str, torch.Tensor]:
    """By layers, of this process's rows."""
    rng.seed_layers(0, 7)
    return {
        "normal": draw_rows(torch.randn, (rows, 3), dtype=torch.float64),
        "whole": draw_rows(partial(torch.randint, 1, 9), (rows, 1)),
        "dropped": Dropout(0.25)(torch.ones(rows, 5000)),
    }


def process(rank: int, folder: str) -> None:
    os.environ |= {"MASTER_ADDR": "127.0.0.1"}
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    half = slice(2 * rank, 2 * rank + 2)
    torch.save(loss_and_gradient(REAL[half], FAKE[half]) | drawn(2), Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_are_one_batch(tmp_path: Path) -> None:
    mp.spawn(process, (str(tmp_path),), nprocs=2)
    halves = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1)]
    alone = drawn(4)
    assert alone["normal"].dtype == torch.float64
    for name in ("normal", "whole"):
        assert torch.equal(torch.cat([half[name] for half in halves]), alone[name])
    masks = torch.cat([half["dropped"] for half in halves])
    assert (masks[0] != masks[2]).any()
    assert (masks[1] != masks[3]).any()
    assert masks.unique().tolist() == pytest.approx([0, 4 / 3])
    assert masks.mean().item() == pytest.approx(1, abs=0.02)  # 5 standard deviations
    for name, whole in loss_and_gradient(REAL, FAKE).items():
        torch.testing.assert_close((halves[0][name] + halves[1][name]) / 2, whole, msg=name)


def test_alone_nothing_happens() -> None:
    x = torch.ones(3)
    assert mean_over_processes(x) is x


@pytest.mark.parametrize(("end", "said"), [("exit 1", "has failed"), ("kill -9 $$", "was ended by SIGKILL")])
def test_one_that_dies_while_it_starts_ends_its_run_only(
    end: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not the command, which may have others to make."""
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\n{end}\n")
    program.chmod(0o755)
    monkeypatch.setattr("src.parallel.processes.sys.executable", str(program))
    place = Place(accelerator="cpu", devices=2, strategy="ddp")
    with pytest.raises((RuntimeError, UserError), match=f"process 1 of 2 {said}"), Team(place) as team:
        team.order(print)
