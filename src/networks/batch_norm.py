"""Batch norm over the global batch of several processes."""

import torch
from torch import Tensor, nn

from src.distributed import mean_over_processes, world_size


class SynchronisedBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Ioffe and Szegedy 2015 with the statistics of all processes' parts of the batch, which are of equal size.

    Not `nn.SyncBatchNorm`, which knows GPUs only and cannot be differentiated twice.
    """

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, ...] to the same shape."""
        if not self.training:
            return super().forward(x)
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        dims, shape = (0, *range(2, x.dim())), (1, -1, *[1] * (x.dim() - 2))
        # Counted from the running mean, which is near enough for nothing to be lost in the difference of squares.
        origin = self.running_mean.clone()
        centred = x - origin.view(shape)
        mean, square = mean_over_processes(torch.stack([centred.mean(dims), centred.square().mean(dims)]))  # [C] each
        variance = square - mean.square()
        with torch.no_grad():
            count = world_size() * x.numel() // x.shape[1]
            self.num_batches_tracked += 1
            self.running_mean.lerp_(origin + mean, self.momentum or 0.0)
            self.running_var.lerp_(variance * (count / max(count - 1, 1)), self.momentum or 0.0)
        normal = (centred - mean.view(shape)) * torch.rsqrt(variance + self.eps).view(shape)
        return normal * self.weight.view(shape) + self.bias.view(shape) if self.affine else normal

    def _check_input_dim(self, x: Tensor) -> None:
        pass


def synchronise(network: nn.Module) -> None:
    """Make every batch norm of a network one of all processes; parameters and buffers stay as they are, under their names."""
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
            layer.__class__ = SynchronisedBatchNorm  # type: ignore[assignment]
