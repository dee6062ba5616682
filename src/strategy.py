"""Lightning's strategies for several processes: they place model and data, and know ranks. See docs/strategies.md."""

from lightning_fabric.plugins.environments import LightningEnvironment
from pytorch_lightning.strategies import DDPStrategy, Strategy

from src.processes import Place


class Started(LightningEnvironment):
    """The processes are there and connected before Lightning is asked."""

    @property
    def creates_processes_externally(self) -> bool:
        return True


class Averaging(DDPStrategy):
    """DDP without its wrapper: the model averages its gradients itself, one network at a time, right after differentiating it.

    The wrapper expects one backward pass through one forward pass of the whole module. A GAN's update has two, of a network
    each, one of which may hold a penalty that is differentiated twice, and leaves the other network's gradients alone.
    """

    def configure_ddp(self) -> None:
        pass


def strategy_of(place: Place) -> Strategy | str:
    """What the Trainer takes for `strategy`."""
    return "auto" if place.processes == 1 else Averaging(cluster_environment=Started())
