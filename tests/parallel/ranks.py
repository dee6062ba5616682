"""What the ranks of the tests do: python tests/parallel/ranks.py launch|rank FUNCTION FOLDER [PROCESSES]."""

import os
import signal
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch

from src.config.errors import Interrupted, UserError
from src.parallel import launch
from src.parallel.collectives import (
    draw_rows,
    from_all_processes,
    from_first,
    largest,
    mean_of_scalars,
    mean_over_processes,
    shared,
    total,
)
from src.training import rng

REAL, FAKE = torch.tensor([2.0, 0.5, -1.0, 3.0, 1.5, 0.25]), torch.tensor([-3.0, 0.0, 1.0, 0.5, -0.5, 2.0])
ROWS = 10_001


def fit(folder: str) -> None:
    from tiny_fit import fitted  # Lightning's import takes seconds

    launch.join()
    launch.same_everywhere("config", "config")
    torch.save(fitted(20).state_dict(), Path(folder) / f"{launch.rank()}.pt")
    launch.leave()


def fit_until_signal(folder: str) -> None:
    from tiny_fit import Stop, fitted

    launch.join()
    stop = Stop(folder)
    fitted(10**6, stop)
    time.sleep(3 if launch.rank() == 0 else 0)  # the others may not have it ended before it has saved
    (Path(folder) / f"saved-{launch.rank()}").touch()
    stop.noted.release()
    raise Interrupted(stop.number)


def user_error(folder: str) -> None:
    launch.join()

    def prepare() -> None:
        raise UserError("no room left")

    from_first(prepare)


def other_config(folder: str) -> None:
    launch.join()
    (Path(folder) / f"joined-{launch.rank()}-{launch.local_rank()}-{launch.local_world_size()}-{launch.nodes()}").touch()
    launch.same_everywhere(f"config {launch.rank()}", "config")


def fault(folder: str) -> None:
    launch.join()
    if launch.rank() == 1:
        raise ZeroDivisionError
    largest(0)


def killed(folder: str) -> None:
    launch.join()
    if launch.rank() == 1:
        (Path(folder) / "killed").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    largest(0)


def alone_of_two(folder: str) -> None:
    launch.join(timeout=3)


def loss_and_gradient(real: torch.Tensor, fake: torch.Tensor) -> dict[str, torch.Tensor]:
    """Of D(x) = w x: what data parallel training averages over the ranks."""
    from src.models.gan.losses import relativistic_average_discriminator
    from src.models.gan.regularizers import LeCam, Update

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
    """By layers, of this rank's rows."""
    from src.networks.mlp import Dropout

    rng.seed_layers(0, 7)
    return {
        "normal": draw_rows(torch.randn, (rows, 3), dtype=torch.float64),
        "integers": draw_rows(partial(torch.randint, 1, 9), (rows, 1)),
        "dropped": Dropout(0.25)(torch.ones(rows, 5000)),
    }


def exchange(folder: str) -> None:
    """All collectives; in ranks of 2 rows each."""
    launch.join()
    rank, size = launch.rank(), launch.world_size()
    x = torch.tensor([float(rank + 1)], requires_grad=True)
    gathered = from_all_processes(x)  # [size, 1]
    (gathered.squeeze(1) * torch.arange(size) * (rank + 1)).sum().backward()
    found = {
        "gathered": gathered.detach(),
        "gathered_gradient": x.grad,
        "mean": mean_over_processes(x.detach()),
        "scalars": mean_of_scalars({"a": float(rank), "b": 1.0}),
        "total": total(rank),
        "largest": largest(rank),
        "from_first": from_first(lambda: f"rank {rank}"),
        "rows": torch.cat(shared(torch.arange(ROWS).__getitem__, ROWS, batch=1000)),
        "few_rows": torch.cat(shared(torch.arange(5).__getitem__, 5, batch=1000)),
    }
    rows = slice(2 * rank, 2 * rank + 2)
    torch.save(found | loss_and_gradient(REAL[rows], FAKE[rows]) | drawn(2), Path(folder) / f"{rank}.pt")
    launch.leave()


def main(how: str, name: str, folder: str, processes: str = "2") -> int:
    try:
        if how == "launch":
            launch.launch(globals()[name], folder, int(processes))
        else:
            globals()[name](folder)
    except BaseException as error:
        return launch.report(error)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
