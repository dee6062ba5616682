"""Lightning's strategies for several processes: they place model and data, and know ranks. See docs/strategies.md."""

import os
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch.distributed as dist
from lightning_fabric.plugins.environments import LightningEnvironment
from pytorch_lightning import Trainer
from pytorch_lightning.strategies import DDPStrategy, Strategy
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer

from src.parallel.collectives import whole
from src.parallel.place import Place, started_by_torchrun


class Started(LightningEnvironment):
    """The processes are there and connected before Lightning is asked."""

    @property
    def creates_processes_externally(self) -> bool:
        return True

    # Not from the environment, in which a scheduler or another launcher may have left ranks of its own.

    def world_size(self) -> int:
        return dist.get_world_size()

    def global_rank(self) -> int:
        return dist.get_rank()

    def local_rank(self) -> int:
        return int(os.environ["LOCAL_RANK"]) if started_by_torchrun() else dist.get_rank()

    def node_rank(self) -> int:
        return int(os.environ["GROUP_RANK"]) if started_by_torchrun() else 0


class Averaging(DDPStrategy):
    """DDP without its wrapper: the model averages its gradients itself, one network at a time, right after differentiating it.

    The wrapper expects one backward pass through one forward pass of the whole module. A GAN's update has two, of a network
    each, one of which may hold a penalty that is differentiated twice, and leaves the other network's gradients alone.
    """

    def configure_ddp(self) -> None:
        pass

    def _configure_launcher(self) -> None:
        pass  # the processes are there, and a launcher would set their threads


class Hidden(nn.Module):
    """A network whose arguments its hooks do not see."""

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return super().__call__(lambda: (arguments, named))

    def forward(self, hidden: Callable[[], tuple[tuple, dict[str, Any]]]) -> Any:
        arguments, named = hidden()
        return super().forward(*arguments, **named)  # the network's own, next in line


class Sharding(Averaging):
    """FSDP: each process keeps a part of the weights, gradients and optimizer states, and gathers a network's weights to use.

    Each network is one unit, given up after its own step and gathered when it is next used. PyTorch reduces a unit's gradients
    when the backward pass reaches its inputs, or else when the pass has ended. Under a gradient penalty it reaches them before
    the gradients are complete, and what comes later is lost without a word; so the inputs are hidden (`Hidden`).
    """

    def configure_ddp(self) -> None:
        # Nobody writes into logits, which the warning is about.
        warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view tensor")
        mesh = init_device_mesh(self.root_device.type, (self.world_size,))
        for network in self.networks():
            kind = type(network)
            network.__class__ = type(kind.__name__, (Hidden, kind), {})
            single = {parameter for parameter in network.parameters() if parameter.dim() == 0}
            fully_shard(network, mesh=mesh, reshard_after_forward=False, ignored_params=single)
            network.set_reshard_after_backward(False)

    def setup_optimizers(self, trainer: Trainer) -> None:
        super().setup_optimizers(trainer)
        generator, discriminator = self.networks()
        for network, optimizer in zip((generator, discriminator), self.optimizers, strict=True):
            optimizer.register_step_post_hook(partial(self.after_step, network, network is generator))
        self.orders = [split(optimizer) for optimizer in self.optimizers]

    @staticmethod
    def after_step(network: Any, gather: bool, optimizer: Optimizer, *_: Any) -> None:
        optimizer.zero_grad()
        network.reshard()
        if gather:  # the average takes the new weights
            network.unshard()

    def networks(self) -> tuple[Any, Any]:
        model: Any = self.lightning_module.model  # type: ignore[union-attr]
        return model.generator, model.discriminator

    # Checkpoints are whole, so that any number of processes, of any strategy, goes on with them.

    def lightning_module_state_dict(self) -> dict[str, Any]:
        return whole(super().lightning_module_state_dict())

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        state, order = whole(super().optimizer_state(optimizer)), self.orders[self.optimizers.index(optimizer)]
        group = {**state["param_groups"][0], "params": list(range(len(order)))}
        return {"state": {order[n]: values for n, values in state["state"].items()}, "param_groups": [group]}

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        for optimizer, order, state in zip(self.optimizers, self.orders, checkpoint["optimizer_states"], strict=True):
            parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            values = {n: state["state"][number] for n, number in enumerate(order) if number in state["state"]}
            parts = {n: {name: like(parameters[n], value) for name, value in kept.items()} for n, kept in values.items()}
            numbers = [group["params"] for group in optimizer.state_dict()["param_groups"]]
            groups = [{**state["param_groups"][0], "params": those} for those in numbers]
            optimizer.load_state_dict({"state": parts, "param_groups": groups})


def split(optimizer: Optimizer) -> list[int]:
    """Put single numbers, which no one can have a part of, into a group of their own; where each parameter was before."""
    (group,) = optimizer.param_groups
    parameters = group["params"]
    single = [number for number, parameter in enumerate(parameters) if parameter.dim() == 0]
    shared = [number for number in range(len(parameters)) if number not in single]
    if single:
        group["params"] = [parameters[number] for number in shared]
        optimizer.add_param_group({**group, "params": [parameters[number] for number in single]})
    return shared + single


def like(parameter: Any, value: Any) -> Any:
    """A whole tensor as the part that this process keeps of one of its shape; anything else as it is."""
    if isinstance(parameter, DTensor) and isinstance(value, Tensor) and value.shape == parameter.shape:
        return distribute_tensor(value.to(parameter.device), parameter.device_mesh, parameter.placements)
    return value


def strategy_of(place: Place) -> Strategy:
    return (Sharding if place.strategy == "fsdp" else Averaging)(cluster_environment=Started())
