"""Three real ranks, started as srun does, agree on what a single process finds in the whole batch."""

import os
from typing import Any

import pytest
import torch
from ranks import FAKE, REAL, ROWS, drawn, loss_and_gradient
from starting import RANKS, ends, kill_all, srun, start

from src.config.errors import UserError
from src.parallel.collectives import from_first, mean_of_scalars, mean_over_processes, shared

RANKS_OF_TWO_ROWS = 3


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each rank has saved."""
    folder, size, job = tmp_path_factory.mktemp("ranks"), RANKS_OF_TWO_ROWS, os.getpid()
    processes = [start(RANKS, "rank", "exchange", folder, environment=srun(task, size, job)) for task in range(size)]
    try:
        for process in processes:
            ends(process, 0)
    finally:
        kill_all()
    return [torch.load(folder / f"{rank}.pt") for rank in range(size)]


def test_all_ranks_get_the_same(found: list[dict[str, Any]]) -> None:
    for each in found:
        assert each["gathered"].tolist() == [[1], [2], [3]]
        assert each["mean"].tolist() == [2]
        assert each["scalars"] == {"a": 1, "b": 1}
        assert (each["total"], each["largest"], each["from_first"]) == (3, 2, "rank 0")
        assert torch.equal(each["rows"], torch.arange(ROWS))
        assert torch.equal(each["few_rows"], torch.arange(5))
    # d/dx_r of the sum over ranks s of r * (s + 1) * x_r
    assert [each["gathered_gradient"].item() for each in found] == pytest.approx([0, 6, 12])


def test_the_ranks_are_one_batch(found: list[dict[str, Any]]) -> None:
    alone = drawn(2 * RANKS_OF_TWO_ROWS)
    assert alone["normal"].dtype == torch.float64
    for name in ("normal", "integers"):
        assert torch.equal(torch.cat([each[name] for each in found]), alone[name])
    masks = torch.cat([each["dropped"] for each in found])
    assert all((masks[row] != masks[row + 2]).any() for row in range(4))
    assert masks.unique().tolist() == pytest.approx([0, 4 / 3])
    assert masks.mean().item() == pytest.approx(1, abs=0.02)  # 5 standard deviations
    for name, whole in loss_and_gradient(REAL, FAKE).items():
        torch.testing.assert_close(torch.stack([each[name] for each in found]).mean(0), whole, msg=name)


def test_alone_nothing_happens() -> None:
    x = torch.ones(3)
    assert mean_over_processes(x) is x
    assert mean_of_scalars({"a": 1.0}) == {"a": 1.0}
    assert shared(lambda rows: (rows.start, rows.stop), 10, batch=4) == [(0, 10)]

    def refuse() -> None:
        raise UserError("no")

    with pytest.raises(UserError) as raised:
        from_first(refuse)
    assert not hasattr(raised.value, "agreed")
