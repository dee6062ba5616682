"""Where a run is computed: on which devices, by how many processes."""

from dataclasses import dataclass
from typing import Any

from src.config.errors import UserError
from src.config.experiment import TrainerSettings
from src.parallel import launch


@dataclass(frozen=True)
class Place:
    """devices: processes per node, each with its own device (on a CPU: with its share of the cores). nodes: machines.

    strategy: ddp (each process holds the whole model), fsdp (each holds a part of it), or single.
    sync_batchnorm: batch norm over the global batch; without, over each process's part.
    """

    devices: int = 1
    nodes: int = 1
    strategy: str = "single"
    sync_batchnorm: bool = True

    @property
    def processes(self) -> int:
        return self.devices * self.nodes

    def record(self) -> dict[str, Any]:
        """The manifest's entries for this place."""
        several = self.processes > 1
        return {
            "processes": self.processes,
            "nodes": self.nodes,
            "strategy": self.strategy,
            "batch_norm": ("synchronised" if self.sync_batchnorm else "per process") if several else None,
        }

    def lightning_strategy(self) -> Any:
        if self.strategy == "single":
            return "auto"
        from src.parallel.strategy import AllReduceDDP  # the import takes a second

        if self.strategy == "fsdp":
            from pytorch_lightning.strategies import FSDPStrategy

            return FSDPStrategy(use_orig_params=True)
        return AllReduceDDP(cluster_environment=launch.environment())


def place(settings: TrainerSettings, batch_size: int, asked: Any = 1) -> Place:
    """The place that a config's `trainer` and the launcher ask for; UserError if it is not possible.

    asked: the command line's `devices`.
    """
    devices, nodes = settings.devices, 1
    if devices != "auto" and not (isinstance(devices, int) and not isinstance(devices, bool) and devices >= 1):
        raise UserError(f"trainer.devices={devices!r}: must be a whole number of at least 1, or auto")
    if settings.accelerator not in ("auto", "cpu") and not available(settings.accelerator):
        raise UserError(f"trainer.accelerator={settings.accelerator}: torch finds none here, take auto or cpu")
    if launch.launched():
        here, nodes = launch.local_world_size(), launch.nodes()
        if here * nodes != launch.world_size():
            raise UserError("one machine has more processes than another: give all the same --nproc-per-node")
        if devices not in ("auto", 1, here):
            raise UserError(f"the launcher has started {here} processes here, so say devices={here}")
        devices = here
    elif devices == "auto":
        if asked not in (1, "auto"):
            raise UserError(f"trainer=auto takes all GPUs there are: leave out devices={asked}, or take trainer=ddp")
        devices = choose(settings.accelerator, batch_size)
    processes = int(devices) * nodes
    if batch_size % processes:
        raise UserError(
            f"data.batch_size={batch_size}, which is that of all processes together, does not divide by {processes} processes: "
            "change devices= or data.batch_size="
        )
    gpus = count_gpus(settings.accelerator) if processes > 1 or settings.strategy == "fsdp" else 0
    if settings.strategy == "fsdp" and not gpus:
        raise UserError("trainer=fsdp shards a model over GPUs, and there is none here: take trainer=ddp")
    if gpus and int(devices) > gpus:
        raise UserError(f"devices={devices}: there are {gpus} GPUs here, take as many, or trainer.accelerator=cpu")
    return Place(
        devices=int(devices),
        nodes=nodes,
        strategy=settings.strategy.replace("auto", "ddp") if processes > 1 else "single",
        sync_batchnorm=settings.sync_batchnorm,
    )


def check_device(name: str | None) -> None:
    """Raise UserError if an evaluation is to run on a device that torch does not find here."""
    kind = (name or "cpu").partition(":")[0]
    if kind != "cpu" and not available(kind):
        raise UserError(f"evaluation.device={name}: torch finds none here, take cpu or leave it null")


def available(accelerator: str) -> bool:
    import torch

    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    return {"cuda": cuda, "mps": mps, "gpu": cuda or mps}[accelerator]


def count_gpus(accelerator: str) -> int:
    """Number of GPUs (NVIDIA or AMD) that this accelerator setting can use."""
    if accelerator not in ("auto", "gpu", "cuda"):
        return 0
    import torch

    return torch.cuda.device_count()


def choose(accelerator: str, batch: int) -> int:
    """Number of devices for trainer=auto, which is also printed: as many GPUs as divide the batch, 1 without a GPU."""
    gpus = count_gpus(accelerator)
    devices = max((n for n in range(1, gpus + 1) if batch % n == 0), default=1)
    why = "on the CPU" if accelerator == "cpu" else "as there is no GPU"
    print(f"trainer=auto: {devices} of {gpus} GPUs" if gpus else f"trainer=auto: one process, {why}")
    return devices
