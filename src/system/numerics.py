"""How torch computes here: its threads, the precision of its matrix products, its memory. For training and evaluation alike.

torch is imported where it is needed, for those who have things to check before.
"""

import contextlib
import ctypes
import functools

from src.runs.manifest import cpu

PRODUCT = (128, 784, 512)  # rows, inputs, outputs of the product that `auto` is judged by

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h
LARGE = 32 * 2**20  # bytes; the most that glibc takes for the second


def set_up(threads: int | None, matmul_precision: str, processes_here: int = 1) -> None:
    """Have torch compute in this process as a config's `trainer` says.

    threads: None for torch's own choice, shared out among the processes of this machine.
    """
    import torch

    threads = threads or max(1, threads_of_torch() // processes_here)
    set_numerics(threads if threads != torch.get_num_threads() else None, matmul_precision)
    # Deterministic algorithms are wanted, the costly filling of fresh memory that comes with them is not.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]

    # Numbers below 1e-38 are zero: they take a CPU a hundred times as long as others, and mean nothing here.
    torch.set_flush_denormal(True)


def keep_freed_memory() -> None:
    """Have glibc keep what is freed, for the next update to use; elsewhere nothing happens.

    Large tensors come and go in every update. Their memory would go back to the system each time and be asked for anew, page by
    page: a tenth and more of the time of convolutional networks.
    """
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(M_MMAP_THRESHOLD, LARGE)
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


@functools.cache
def threads_of_torch() -> int:
    """As many as it takes by itself; first asked for before any are set."""
    import torch

    return torch.get_num_threads()


def set_numerics(threads: int | None, matmul_precision: str) -> None:
    """threads: of torch, None for its own choice. matmul_precision: torch's highest | high | medium, or auto."""
    import torch

    keep_freed_memory()
    if threads:
        torch.set_num_threads(threads)
    torch.set_float32_matmul_precision(fastest_exact() if matmul_precision == "auto" else matmul_precision)


def fastest_exact() -> str:
    """What `auto` stands for here: the fastest setting whose products are as precise as float32 allows.

    On the CPU "highest" multiplies by MKL, which is half as fast on AMD's processors as oneDNN, and "medium" by oneDNN, which
    may round to bfloat16 but does so only on processors with matrix units (AMX). So "medium" on AMD's where a product shows
    that nothing is rounded, "highest" everywhere else. GPUs, which round to TF32 at less than "highest", keep it too.
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
    return "medium" if errors["medium"] < 4 * errors["highest"] else "highest"  # bfloat16: thousands of times as large
