"""Lightning's strategy for several ranks that were started before the Trainer. See docs/many_gpus.md."""

from pytorch_lightning.strategies import DDPStrategy


class AllReduceDDP(DDPStrategy):
    """DDP without its wrapper: the model averages its gradients by one flat all-reduce right after each backward pass.

    The wrapper expects one forward and one backward pass of the whole module. A GAN's update has two of each, one per network.
    One may contain a penalty that is differentiated twice, and the other network must get no gradients.
    """

    def configure_ddp(self) -> None:
        pass

    def _configure_launcher(self) -> None:
        pass  # torchrun, srun or `launch` has started the ranks; Lightning's launcher would change their threads
