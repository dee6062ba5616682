"""What several processes agree on. With one process nothing happens here."""

import torch.distributed as dist
from torch import Tensor
from torch.distributed.nn.functional import all_reduce


def mean_over_processes(x: Tensor) -> Tensor:
    """A statistic of this process's part of the batch, any shape, averaged over all processes; gradients go back to each."""
    if not (dist.is_available() and dist.is_initialized()):
        return x
    return all_reduce(x.clone()) / dist.get_world_size()
