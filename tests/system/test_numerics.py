"""Threads, precision and memory of torch: faster, and no digit less."""

import platform
import resource

import pytest
import torch

from src.system import numerics
from src.system.numerics import fastest_exact, keep_freed_memory, set_numerics, set_up, threads_of_torch


def test_settings_are_set() -> None:
    set_numerics(2, "high")
    assert (torch.get_num_threads(), torch.get_float32_matmul_precision()) == (2, "high")
    set_numerics(None, "highest")
    assert (torch.get_num_threads(), torch.get_float32_matmul_precision()) == (2, "highest")


def test_auto_keeps_float32() -> None:
    """Whatever it stands for on this machine: errors of float32's size, not of bfloat16's (2^-9 of each factor)."""
    set_numerics(None, "auto")
    x, y = (torch.randn(64, 256, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2))
    error = (x @ y.T - x.double() @ y.double().T).abs().max()
    assert 0 < error < 1e-4


def test_auto_changes_nothing_by_itself() -> None:
    torch.set_float32_matmul_precision("high")
    fastest_exact()
    assert torch.get_float32_matmul_precision() == "high"


def test_auto_leaves_other_makes_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numerics, "cpu", lambda: "Intel(R) Xeon(R)")
    assert fastest_exact() == "highest"


def faults(times: int) -> int:
    """Pages that the system has to find while 20 MB are taken and given back."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        torch.zeros(5_000_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another malloc")
def test_freed_memory_is_used_again() -> None:
    keep_freed_memory()
    faults(1)
    assert faults(20) < 5 * 20e6 / 4096  # not even a quarter of the pages of all twenty


def test_threads_left_to_torch_are_as_many_as_ever() -> None:
    """Whatever a training in the same process has set before."""
    left = threads_of_torch()
    for asked, processes, threads in ((3, 1, 3), (None, 1, left), (None, 64, 1), (None, 1, left)):
        set_up(asked, "highest", processes)
        assert torch.get_num_threads() == threads
