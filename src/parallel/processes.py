"""The processes of one run. The first holds the run folder, decides, prints and writes; the others do as it says.

They are started here, or by torchrun, not by Lightning's launcher, which repeats the command line.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

from src.config.errors import Diverged, Interrupted, UserError
from src.parallel import heartbeat
from src.parallel.place import Place, started_by_torchrun
from src.system import interpreter

ROOT = Path(__file__).parents[2]

# Messages may have to wait for an evaluation. What has died is noticed by its closed connections, its starter, or its silence.
PATIENCE = timedelta(days=1)
MEETING = timedelta(minutes=2)  # for those to come that torchrun has started at the same time
START = timedelta(seconds=8)  # for an answer of a torchrun that lives; PyTorch tries twice
NOTICE = 10.0  # seconds for a message to fail after a process has died, before all are ended without further words


def follows() -> bool:
    """Whether torchrun started this process as one of those that follow the first."""
    return started_by_torchrun() and int(os.environ["RANK"]) > 0


class Team:
    """This process and those that follow it, which are started when they are first needed and end with the `with` block."""

    def __init__(self, place: Place, recipe: str = "") -> None:
        self.place = place
        self.recipe = recipe  # what all machines have to be told alike
        self._others: list[subprocess.Popen] = []
        self._over = threading.Event()
        self._ordered = False

    def __enter__(self) -> Self:
        if self.place.external:
            join(recipe=self.recipe)
        return self

    def order(self, function: Callable[..., object], *arguments: Any) -> None:
        """The others call function(*arguments), which are pickled, while this process does its part of the same."""
        if self.place.processes == 1:
            return
        if not self._others and not self.place.external:
            self._start()
        self._ordered = True
        send((function, arguments))

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if self.place.processes == 1 and not self.place.external:  # nothing to end; a mistake is to be named without torch
            return
        from src.parallel.collectives import together

        self._over.set()
        dead = self._dead(wait=3.0 if isinstance(error, RuntimeError) else 0.0)  # its connections end before it does
        met_by_all = isinstance(error, Diverged) or (isinstance(error, Interrupted) and error.agreed)
        try:
            if together() and (error is None or (self.place.external and met_by_all)):
                send(None)
                for other in self._others:
                    other.wait(NOTICE)
            elif together() and isinstance(error, UserError) and not self._ordered:  # the others wait for what to do
                send(str(error))
        except (RuntimeError, subprocess.TimeoutExpired):
            dead = dead or self._dead()
        finally:
            for other in self._others:
                other.kill()
                other.wait()
            leave()
        if dead and not isinstance(error, Interrupted):
            raise dead from error

    def _start(self) -> None:
        import torch.distributed as dist

        store = dist.TCPStore("127.0.0.1", 0, self.place.processes, is_master=True, wait_for_workers=False)
        shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(store.port), "WORLD_SIZE": str(self.place.processes)}
        shared["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        for rank in range(1, self.place.processes):
            environment = {**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)}
            command = [sys.executable, "-m", "src.parallel.processes", str(os.getpid())]
            self._others.append(subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL))
        threading.Thread(target=self._watch, daemon=True).start()
        while not store.check([f"here/{rank}" for rank in range(1, self.place.processes)]):
            if dead := self._dead():
                raise dead
            time.sleep(0.05)
        join(store, 0, self.place.processes)

    def _dead(self, wait: float = 0.0) -> Exception | None:
        """What is to be said of another process that has ended before its time, or does within so many seconds."""
        if wait and (missing := heartbeat.missing()):
            return UserError(missing)
        until = time.monotonic() + wait
        while self._others and all(other.poll() is None for other in self._others) and time.monotonic() < until:
            time.sleep(0.05)
        for rank, other in enumerate(self._others, start=1):
            if (code := other.poll()) is not None and (code < 0 or code > 128):
                name = signal.Signals(code - 128 if code > 0 else -code).name
                return UserError(
                    f"process {rank} of {self.place.processes} was ended by {name}: repeat the command, it goes on"
                )
            if code:
                return RuntimeError(f"process {rank} of {self.place.processes} has failed, as it says above")
        return None

    def _watch(self) -> None:
        """End this process where another has died and the message that this one waits for never fails (NCCL's may not)."""
        while not self._over.wait(0.5):
            if (dead := self._dead()) and not self._over.wait(NOTICE):
                print(f"error: {dead}", file=sys.stderr, flush=True)
                for other in self._others:
                    other.kill()
                os._exit(2 if isinstance(dead, UserError) else 1)


ALONE = Team(Place())


def join(store: Any = None, rank: int = 0, size: int = 1, recipe: str = "") -> None:
    """Connect this process to the others: through `store`, or as torchrun says.

    recipe: what torchrun's processes must all have been told; UserError where they have not.
    """
    import torch
    import torch.distributed as dist

    from src.parallel.collectives import share_memory

    if store is None:
        threading.Thread(target=leave_with, args=(os.getppid(),), daemon=True).start()
        store, rank, size = meet(recipe)
    nccl = torch.cuda.is_available() and dist.is_nccl_available()
    backend = "cpu:gloo,cuda:nccl" if nccl else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=PATIENCE)
    share_memory(not started_by_torchrun() or int(os.environ["LOCAL_WORLD_SIZE"]) == dist.get_world_size())


def meet(recipe: str) -> tuple[Any, int, int]:
    """Where torchrun's processes meet, this one's rank, and how many they are; UserError where not all come.

    One that refuses its command or dies before ends the torchrun of its own machine only. So the first waits for the others
    for as long as they may take to start, or until one declines; they wait for the first, who may have data to prepare,
    while its torchrun lives.
    """
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    advice = "mend what it says on its machine, and repeat all commands"
    try:
        store = meeting_point(MEETING if rank == 0 else PATIENCE)
        store.set_timeout(PATIENCE)
        heartbeat.start(store, rank, size)
        store.set(f"here/{rank}", f"recipe {recipe}")
        others = range(1, size) if rank == 0 else [0]
        store.wait([f"here/{other}" for other in others], MEETING if rank == 0 else PATIENCE)
    except RuntimeError as error:
        whom = "for one of the others" if rank == 0 else "for the first"
        raise UserError(f"process {rank} of {size} has waited {whom} in vain: {advice}") from error
    for other in others:
        if (answer := store.get(f"here/{other}").decode()) == "no":
            raise UserError(f"process {other} of {size} has refused its command: {advice}")
        if answer != f"recipe {recipe}":
            raise UserError(f"process {other} of {size} was given another command than this one: give all machines the same")
    return store, rank, size


def decline() -> None:
    """Tell the first process, which may wait for this one already, that it does not come."""
    with contextlib.suppress(RuntimeError):  # the first is not there either
        meeting_point(START).set(f"here/{os.environ['RANK']}", "no")


def meeting_point(patience: timedelta) -> Any:
    """The store of torchrun's processes, where the first is so patient as to wait for it."""
    import torch.distributed as dist

    # Where it is torchrun itself that they meet at, an answer comes at once, or never.
    there = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True" and os.environ["RANK"] != "0"
    store, *_ = next(dist.rendezvous("env://", timeout=START if there else patience))
    return store


def leave() -> None:
    import torch.distributed as dist

    from src.parallel.collectives import share_memory, together

    heartbeat.stop()
    if together():
        share_memory(False)
        dist.destroy_process_group()


def send(order: tuple[Callable[..., object], tuple] | str | None) -> None:
    """What to do, or why nothing will be, or that this was all."""
    import torch.distributed as dist

    dist.broadcast_object_list([order])


def follow(connect: Callable[[], None]) -> Interrupted | Diverged | None:
    """Connect to the others and do what the first process says, until it says that this was all; what has ended it before."""
    met: Interrupted | Diverged | None = None
    try:
        connect()
        while (order := receive()) is not None:
            if isinstance(order, str):
                raise UserError(order)
            function, arguments = order
            try:
                function(*arguments)
            except (Interrupted, Diverged) as error:
                if isinstance(error, Interrupted) and not error.agreed:
                    sys.exit(error.exit_code)
                met = error  # the first process has met it too, and says so
        leave()
        return met
    except Exception as error:
        time.sleep(1.5)  # where another process has died before, that is the whole story, and this one is ended in its sleep
        mistake = str(error) if isinstance(error, UserError) else heartbeat.missing()
        print(f"error: {mistake}" if mistake else traceback.format_exc(), file=sys.stderr, flush=True)
        sys.exit(2 if mistake else 1)


def receive() -> Any:
    import torch.distributed as dist

    order: list[Any] = [None]
    dist.broadcast_object_list(order)
    return order[0]


def leave_with(starter: int) -> None:
    """End this process soon after the one that started it."""
    while os.getppid() == starter:
        time.sleep(1)
    os._exit(1)


def main(starter: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal: the first one decides
    threading.Thread(target=leave_with, args=(starter,), daemon=True).start()

    import torch.distributed as dist

    def connect() -> None:
        rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        store = dist.TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), size, is_master=False)
        store.set(f"here/{rank}", "yes")
        join(store, rank, size)

    follow(connect)
    interpreter.leave(0)


if __name__ == "__main__":
    main(int(sys.argv[1]))
