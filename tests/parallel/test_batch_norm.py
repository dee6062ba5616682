"""Synchronised batch norm: alone it is PyTorch's; two processes together are one with both halves of the batch."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn

from src.config.errors import UserError
from src.parallel.batch_norm import SynchronisedBatchNorm, synchronise

X = torch.randn(8, 3, 4, 4, generator=torch.Generator().manual_seed(0)) * 2 + 5


def layer() -> nn.Module:
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(3)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    return norm


def found(norm: nn.Module, x: torch.Tensor) -> dict[str, torch.Tensor]:
    """Output, running statistics, and gradients, that of a gradient penalty among them."""
    for _ in range(2):  # the second time from running statistics that have moved
        x = x.detach().requires_grad_()
        y = norm(x)
        (slope,) = torch.autograd.grad(y.tanh().flatten(1).sum(1).mean(), x, create_graph=True)
        (twice,) = torch.autograd.grad(slope.square().flatten(1).sum(1).mean(), norm.weight)
    return {
        "y": y.detach(),
        "slope": slope.detach(),
        "twice": twice,
        **{k: v for k, v in norm.state_dict().items() if "run" in k},
    }


FAR = X[:, :1] * 0.01 + 100  # the mean is five thousand deviations from zero, where running means begin


def process(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    norm = layer()
    synchronise(norm)
    far = SynchronisedBatchNorm(1)(FAR[4 * rank :][:4]).detach()
    torch.save(found(norm, X[4 * rank :][:4]) | {"far": far}, Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_are_one_batch(tmp_path: Path) -> None:
    from test_batch_norm import process  # not of tests.parallel: a package of another library is called tests

    mp.spawn(process, (str(tmp_path),), nprocs=2)
    a, b = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    whole = found(layer(), X)
    for name in ("running_mean", "running_var"):
        torch.testing.assert_close(a[name], whole[name], msg=name)
        assert torch.equal(a[name], b[name])
    torch.testing.assert_close(torch.cat([a["y"], b["y"]]), whole["y"])
    torch.testing.assert_close(torch.cat([a["far"], b["far"]]), nn.BatchNorm2d(1)(FAR).detach(), atol=2e-3, rtol=0)
    torch.testing.assert_close(torch.cat([a["slope"], b["slope"]]) / 2, whole["slope"], atol=1e-6, rtol=1e-4)
    torch.testing.assert_close((a["twice"] + b["twice"]) / 2 / 4, whole["twice"], atol=1e-6, rtol=1e-4)


def test_alone_it_is_pytorch_s_under_the_same_names() -> None:
    ours, theirs = layer(), layer()
    synchronise(ours)
    assert isinstance(ours, SynchronisedBatchNorm)
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    for name, tensor in found(ours, X).items():
        torch.testing.assert_close(tensor, found(copy.deepcopy(theirs), X)[name], atol=1e-5, rtol=1e-4, msg=name)
    ours.load_state_dict(theirs.state_dict())
    assert torch.equal(ours.eval()(X), theirs.eval()(X))


@pytest.mark.parametrize("settings", [{"momentum": None}, {"track_running_stats": False}])
def test_without_a_momentum_or_running_statistics(settings: dict[str, Any]) -> None:
    ours, theirs = nn.BatchNorm2d(3, **settings), nn.BatchNorm2d(3, **settings)
    synchronise(ours)
    for part in X.chunk(2):
        torch.testing.assert_close(ours(part), theirs(part))
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict())
    torch.testing.assert_close(ours.eval()(X), theirs.eval()(X))


def test_what_only_descends_from_batch_norm_is_not_made_another() -> None:
    class Twice(nn.BatchNorm2d):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 2 * super().forward(x)

    with pytest.raises(UserError, match=r"^Twice is no plain batch norm: .*trainer\.sync_batchnorm=false"):
        synchronise(nn.Sequential(Twice(3)))
