"""Several processes: torchrun, srun and `launch` start the same function in each; environment variables tell it its rank.

torch is imported lazily: config errors must not wait for it.
"""

import contextlib
import logging
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

from src.config.errors import Interrupted, UserError

Failure = TypeVar("Failure", bound=UserError)
Result = TypeVar("Result")

JOIN_TIMEOUT = 300.0  # seconds
COLLECTIVE_TIMEOUT = timedelta(days=1)  # ranks may wait while rank 0 prepares data or evaluates
SAVE_TIMEOUT = 120  # seconds from SIGTERM to SIGKILL
REPORT_DELAY = 5.0  # seconds; elastic_launch and torchrun look at their ranks every 0.1 s
FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)


def launched() -> bool:
    """Whether torchrun, srun or `launch` has started this process as a rank, even as torchrun's only one."""
    return by_torchrun() or by_srun()


def by_torchrun() -> bool:
    """Whether torchrun started this process, or `launch`, which calls torchrun's API."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def by_srun() -> bool:
    """Whether this is one of several tasks of a SLURM step. A batch script has no step, an interactive shell a single task."""
    step = "SLURM_STEP_ID" in os.environ and "SLURM_PROCID" in os.environ
    return step and all(int(os.environ.get(name, "2")) > 1 for name in ("SLURM_NTASKS", "SLURM_STEP_NUM_TASKS"))


def rank() -> int:
    return variable("RANK", "SLURM_PROCID", alone=0)


def world_size() -> int:
    return variable("WORLD_SIZE", "SLURM_NTASKS", alone=1)


def local_rank() -> int:
    return variable("LOCAL_RANK", "SLURM_LOCALID", alone=0)


def local_world_size() -> int:
    """Ranks on this node. Under srun, ranks // nodes: times `nodes`, this differs from `world_size` if nodes are unequal."""
    return variable("LOCAL_WORLD_SIZE", "SLURM_NTASKS", alone=1) // (1 if by_torchrun() else nodes())


def nodes() -> int:
    return variable("GROUP_WORLD_SIZE", "SLURM_NNODES", alone=1)


def variable(torchrun: str, srun: str, alone: int) -> int:
    if by_torchrun():
        return int(os.environ[torchrun])
    return int(os.environ[srun]) if by_srun() else alone


def environment() -> Any:
    """Lightning's ClusterEnvironment of a launched process. Requeueing SLURM jobs is left to the user: runs resume anyway."""
    from lightning_fabric.plugins.environments import SLURMEnvironment, TorchElasticEnvironment

    if by_torchrun():
        return TorchElasticEnvironment()
    try:
        return SLURMEnvironment(auto_requeue=False)
    except RuntimeError as error:  # Lightning wants --ntasks-per-node
        raise UserError(str(error)) from error


def launch(function: Callable[[Any], object], argument: Any, processes: int) -> None:
    """Run function(argument) in `processes` new processes on this machine, and wait for them.

    function: defined at module level. Raises SystemExit(1 or 2) if a rank has printed an error, UserError if a signal killed
    a rank, and Interrupted after a signal, which is passed on to all ranks; they have `SAVE_TIMEOUT` seconds to save.
    """
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "FATAL")  # also in the ranks, which log lost connections

    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    for name in ("torch.distributed.elastic", "torch.multiprocessing"):  # a rank prints its own error
        logging.getLogger(name).addHandler(logging.NullHandler())
        logging.getLogger(name).propagate = False
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id="launch",
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="localhost",
        max_restarts=0,
        start_method="spawn",
        logs_specs=DefaultLogsSpecs(log_dir=os.devnull),
        shutdown_timeout=SAVE_TIMEOUT,
        signals_to_handle=",".join(number.name for number in FORWARDED),
    )
    handlers = {number: signal.getsignal(number) for number in FORWARDED}
    try:
        elastic_launch(config, run_rank)(function, argument)
    except SignalException as stop:
        raise Interrupted(stop.sigval) from None
    except ChildFailedError as failed:
        number, failure = failed.get_first_failure()
        if failure.exitcode in (130, 143):
            raise Interrupted(failure.exitcode - 128) from None
        if failure.exitcode >= 0:
            raise SystemExit(2 if failure.exitcode == 2 else 1) from None
        guess = " (out of memory?)" if failure.exitcode == -signal.SIGKILL else ""
        raise UserError(
            f"rank {number} was ended by {failure.signal_name()}{guess}: "
            "repeat the command, it goes on from the last checkpoint"
        ) from None
    finally:
        for which, handler in handlers.items():
            signal.signal(which, handler)


def run_rank(function: Callable[[Any], object], argument: Any) -> None:
    """Run function(argument) in a rank of `launch`; after an error, print it and exit with its code."""
    try:
        function(argument)
        leave()
    except BaseException as error:
        if code := report(error):  # with code 0 return instead: elastic_launch waits for a result
            sys.stdout.flush()
            os._exit(code)  # skips torch's cleanup, which takes time


def report(error: BaseException) -> int:
    """Print the error that ended this rank and return its exit code. An error of several ranks is printed once.

    All ranks raise an `agreed` error at the same point: rank 0 prints it, and they leave together. Otherwise all ranks except
    the failed one wait before they print: the launcher ends them as soon as the failed one has left.
    """
    if isinstance(error, SystemExit):
        if isinstance(error.code, str):
            print(error.code, file=sys.stderr, flush=True)
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    agreed = getattr(error, "agreed", False)
    if isinstance(error, Interrupted | KeyboardInterrupt):
        if agreed:
            leave()
        return getattr(error, "exit_code", 130)
    if not agreed and (rank() > 0 or in_collective(error)):
        time.sleep(REPORT_DELAY)
    if not agreed or rank() == 0:
        line = f"error: {error}\n" if isinstance(error, UserError) else "".join(traceback.format_exception(error))
        print(line, end="", file=sys.stderr, flush=True)
    if agreed:
        leave()
    return 2 if isinstance(error, UserError) else 1


def in_collective(error: BaseException | None) -> bool:
    """Whether torch.distributed raised the error or one of its causes: usually because another rank has died."""
    while error is not None:
        frames = traceback.extract_tb(error.__traceback__)
        if any(os.path.join("torch", "distributed", "") in frame.filename for frame in frames):
            return True
        error = error.__cause__ or error.__context__
    return False


def join(timeout: float = JOIN_TIMEOUT) -> None:
    """Initialise the process group of a launched process; UserError if a rank has not joined after `timeout` seconds."""
    import torch
    import torch.distributed as dist

    place, size, within = environment(), world_size(), timedelta(seconds=timeout)
    host = rank() == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"  # else torchrun hosts the store
    missing = "rank 0"
    try:
        tcp = dist.TCPStore(place.main_address, place.main_port, size, host, within, wait_for_workers=False)
        store = dist.PrefixStore(f"attempt {os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}", tcp)
        keys = {f"rank {number}": f"joined/{number}" for number in range(size)}
        store.set(keys[f"rank {rank()}"], "")
        with contextlib.suppress(dist.DistStoreError):
            store.wait(list(keys.values()), within)
        missing = " and ".join(name for name, key in keys.items() if not store.check([key]))
    except RuntimeError:  # no store without rank 0
        pass
    if missing:
        raise UserError(f"{missing} of {size} did not join within {timeout:.0f} s: see what it printed, and repeat the command")
    store.set_timeout(COLLECTIVE_TIMEOUT)
    nccl = torch.cuda.is_available() and dist.is_nccl_available()
    backend = "cpu:gloo,cuda:nccl" if nccl else "gloo"
    dist.init_process_group(backend, store=store, rank=rank(), world_size=size, timeout=COLLECTIVE_TIMEOUT)


def leave() -> None:
    """Wait for all ranks, then destroy the process group: torchrun ends the others once one has left with an error."""
    if (dist := sys.modules.get("torch.distributed")) is None or not dist.is_available() or not dist.is_initialized():
        return
    import torch

    with contextlib.suppress(RuntimeError):  # another rank has died, which the launcher reports
        dist.all_reduce(torch.zeros(1))
        dist.destroy_process_group()


def same_everywhere(text: str, what: str) -> None:
    """Raise UserError in all ranks if their texts differ. what: name of the text (config, code or data) in the message."""
    import torch.distributed as dist

    texts: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(texts, text)
    others = [number for number, other in enumerate(texts) if other != texts[0]]
    if others:
        ranks = " and ".join(map(str, others))
        raise in_all_ranks(UserError(f"rank {ranks} has another {what} than rank 0: start all ranks with the same"))


def in_all_ranks(error: Failure) -> Failure:
    """Mark an error that all ranks raise at the same point, for `report`."""
    error.agreed = True  # type: ignore[attr-defined]
    return error


def is_first() -> bool:
    """Whether this process is rank 0, which decides, prints and writes."""
    return rank() == 0


def from_first(function: Callable[[], Result]) -> Result:
    """Call `function` in rank 0 and return its result in all ranks."""
    if not launched():
        return function()
    from src.parallel import collectives

    return collectives.from_first(function)
