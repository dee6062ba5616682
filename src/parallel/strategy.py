"""Lightning's strategy for several ranks, which are there before it is asked. See docs/strategies.md."""

from pytorch_lightning.strategies import DDPStrategy


class AllReduceDDP(DDPStrategy):
    """DDP without its wrapper: the model averages its gradients by one flat all-reduce right after each backward pass.

    The wrapper expects one backward pass through one forward pass of the whole module. A GAN's update has two, of a network
    each, one of which may hold a penalty that is differentiated twice, and leaves the other network's gradients alone.
    """

    def configure_ddp(self) -> None:
        pass

    def _configure_launcher(self) -> None:
        pass  # torchrun, srun or `launch` has started the ranks, and Lightning's launcher would set their threads
