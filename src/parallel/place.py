"""Where a run is computed: on which devices, by how many processes."""

import os
from dataclasses import dataclass
from typing import Any

from src.config.checks import CHECKS, COUNT
from src.config.errors import UserError


@dataclass(frozen=True)
class Place:
    """Where a run is computed.

    devices: processes on each of the nodes, each with a device of its own (on a CPU: with its share of the cores).
    strategy: ddp (each process holds the whole model), fsdp (each holds a part of it), or single.
    sync_batchnorm: batch norm over the global batch; without, over each process's part.
    accumulate: parts in which each process takes its part of the batch, one after the other, to save memory.
    external: the processes were started by torchrun.
    """

    accelerator: str = "auto"
    devices: int = 1
    nodes: int = 1
    strategy: str = "single"
    sync_batchnorm: bool = True
    accumulate: int = 1
    external: bool = False

    @property
    def processes(self) -> int:
        return self.devices * self.nodes

    def channels_last(self, config: dict[str, Any]) -> bool:
        """Whether convolutions' weights lie in memory with their channels last, which FSDP does not take."""
        return config["trainer"]["channels_last"] and self.strategy != "fsdp"

    def record(self) -> dict[str, Any]:
        """What a manifest says of it."""
        several = self.processes > 1
        return {
            "processes": self.processes,
            "nodes": self.nodes,
            "strategy": self.strategy,
            "accumulate": self.accumulate,
            "batch_norm": ("synchronised" if self.sync_batchnorm else "per process") if several else None,
        }


def started_by_torchrun() -> bool:
    return "TORCHELASTIC_RUN_ID" in os.environ


def place(config: dict[str, Any]) -> Place:
    """Where the config's `trainer` and torchrun want the run; raises UserError where that cannot be."""
    trainer, batch = config["trainer"], config["data"]["batch_size"]
    devices, nodes = trainer["devices"], 1
    if devices != "auto" and not CHECKS[COUNT](devices):
        raise UserError(f"trainer.devices={devices!r}: must be {COUNT} or auto")
    if trainer["accelerator"] not in ("auto", "cpu") and not available(trainer["accelerator"]):
        raise UserError(f"trainer.accelerator={trainer['accelerator']}: torch finds none here, take auto or cpu")
    if started_by_torchrun():
        if sweeping():
            raise UserError("every process of torchrun would run the whole sweep: leave torchrun out, or -m")
        devices = int(os.environ["LOCAL_WORLD_SIZE"])
        nodes = int(os.environ["GROUP_WORLD_SIZE"])
        if devices * nodes != int(os.environ["WORLD_SIZE"]):
            raise UserError("torchrun has started more processes on one machine than on another: give all one --nproc-per-node")
        if trainer["devices"] not in ("auto", devices):
            raise UserError(f"torchrun has started {devices} processes here, so say devices={devices}")
    elif devices == "auto":
        if config["devices"] not in (1, "auto"):
            raise UserError(
                f"trainer=auto takes all GPUs there are: leave out devices={config['devices']}, or take trainer=ddp"
            )
        devices = choose(trainer["accelerator"], batch, trainer.get("accumulate", 1))
    if trainer["strategy"] == "fsdp" and config["model"].get("ema") is None:
        raise UserError(
            "fsdp draws samples from averaged weights, and this model keeps none: give it model.ema, or trainer=ddp"
        )
    accumulate = trainer.get("accumulate", 1)
    if batch % (devices * nodes * accumulate):
        parts = f"{devices * nodes} processes" + (f" with {accumulate} parts each" if accumulate > 1 else "")
        raise UserError(
            f"data.batch_size={batch}, which is that of all processes together, does not divide by {parts}: "
            "change devices=, trainer.accumulate= or data.batch_size="
        )
    if devices > 1 and devices > (gpus := count_gpus(trainer["accelerator"])) > 0:
        raise UserError(f"devices={devices}: there are {gpus} GPUs here, take as many, or trainer.accelerator=cpu")
    return Place(
        accelerator=trainer["accelerator"],
        devices=devices,
        nodes=nodes,
        strategy=trainer["strategy"].replace("auto", "ddp") if devices * nodes > 1 else "single",
        sync_batchnorm=trainer.get("sync_batchnorm", True),
        accumulate=accumulate,
        external=started_by_torchrun(),
    )


def available(accelerator: str) -> bool:
    import torch

    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    return {"cuda": cuda, "mps": mps, "gpu": cuda or mps}[accelerator]


def count_gpus(accelerator: str) -> int:
    """NVIDIA's and AMD's that this accelerator would take."""
    if accelerator not in ("auto", "gpu", "cuda"):
        return 0
    import torch

    return torch.cuda.device_count()


def choose(accelerator: str, batch: int, accumulate: int = 1) -> int:
    """What trainer=auto takes, which it also prints: all GPUs that the batch and its parts divide by, or one process."""
    gpus = count_gpus(accelerator)
    devices = max((n for n in range(1, gpus + 1) if batch % (n * accumulate) == 0), default=1)
    why = "on the CPU" if accelerator == "cpu" else "as there is no GPU"
    print(f"trainer=auto: {devices} of {gpus} GPUs" if gpus else f"trainer=auto: one process, {why}")
    return devices


def sweeping() -> bool:
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN
