"""torch's threads, precision of matrix products and memory, for training and evaluation alike.

torch is imported lazily: config errors must not wait for it.
"""

import contextlib
import ctypes
import functools

from src.runs.manifest import cpu

PRODUCT = (128, 784, 512)  # rows, inputs, outputs of the matrix product that `auto` tests

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h
LARGE = 32 * 2**20  # bytes; glibc's maximum for M_MMAP_THRESHOLD


def set_up(threads: int | None, matmul_precision: str, processes_here: int = 1) -> None:
    """Set up torch in this process by the settings of a config's `trainer`.

    threads: None for torch's default number, divided by processes_here, the number of processes on this machine.
    matmul_precision: see set_numerics.
    """
    import torch

    threads = threads or max(1, threads_of_torch() // processes_here)
    set_numerics(threads if threads != torch.get_num_threads() else None, matmul_precision)
    # Deterministic algorithms also fill new memory by default, which costs time and is not needed.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]

    # Denormal numbers (below 1e-38) become zero: a CPU takes a hundred times as long for them, and they do not matter here.
    torch.set_flush_denormal(True)


def keep_freed_memory() -> None:
    """Make glibc keep freed memory for the next update; no effect without glibc.

    Every update allocates and frees large tensors. By default, glibc returns their memory to the system each time and requests
    it again page by page, which takes a tenth or more of the time of convolutional networks.
    """
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(M_MMAP_THRESHOLD, LARGE)
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


@functools.cache
def threads_of_torch() -> int:
    """torch's default number of threads; the first call must come before any number is set."""
    import torch

    return torch.get_num_threads()


def set_numerics(threads: int | None, matmul_precision: str) -> None:
    """threads: torch's number, None keeps its default. matmul_precision: torch's highest | high | medium, or auto."""
    import torch

    keep_freed_memory()
    if threads:
        torch.set_num_threads(threads)
    torch.set_float32_matmul_precision(fastest_exact() if matmul_precision == "auto" else matmul_precision)


def fastest_exact() -> str:
    """The value of `auto` on this machine: the fastest setting whose matrix products have full float32 precision.

    On a CPU, "highest" uses MKL, which has half the speed of oneDNN on AMD processors. "medium" uses oneDNN, which may round
    to bfloat16 but does so only on processors with matrix units (AMX). So `auto` is "medium" on AMD processors if a test
    product shows no rounding, and "highest" otherwise; also on GPUs, which round to TF32 below "highest".
    """
    import torch

    if "AMD" not in cpu() or torch.cuda.is_available():
        return "highest"
    rows, inputs, outputs = PRODUCT
    random = torch.Generator().manual_seed(0)
    x, weight = torch.randn(rows, inputs, generator=random), torch.randn(inputs, outputs, generator=random)
    exact, errors, before = x.double() @ weight.double(), {}, torch.get_float32_matmul_precision()
    for precision in ("highest", "medium"):
        torch.set_float32_matmul_precision(precision)
        errors[precision] = (x @ weight - exact).abs().mean().item()
    torch.set_float32_matmul_precision(before)
    return "medium" if errors["medium"] < 4 * errors["highest"] else "highest"  # bfloat16: thousands of times
