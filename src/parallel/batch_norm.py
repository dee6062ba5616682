"""Batch norm over the global batch of several processes."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from src.config.errors import UserError
from src.parallel.collectives import from_all_processes, mean_over_processes, world_size


class SynchronisedBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Ioffe and Szegedy 2015 with the statistics of all processes' parts of the batch, which are of equal size.

    Not `nn.SyncBatchNorm`, which knows GPUs only and cannot be differentiated twice.
    """

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, ...] to the same shape."""
        if not self.training:
            return super().forward(x)
        kept = self.weight if self.running_mean is None else self.running_mean
        x = x if kept is None else x.to(torch.promote_types(x.dtype, kept.dtype))
        y, mean, variance = Normalise.apply(x, self.weight, self.bias, self.eps)
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:  # they are not tracked
            return y
        with torch.no_grad():
            count = world_size() * x.numel() // x.shape[1]
            self.num_batches_tracked += 1
            momentum = 1 / self.num_batches_tracked.item() if self.momentum is None else self.momentum
            self.running_mean.lerp_(mean, momentum)
            self.running_var.lerp_(variance * (count / max(count - 1, 1)), momentum)
        return y

    def _check_input_dim(self, x: Tensor) -> None:
        pass


class Normalise(torch.autograd.Function):
    """weight * (x - mean) / sqrt(variance + eps) + bias, with PyTorch's own kernels around the two messages.

    x [B, C, ...]; weight and bias [C] or None. Gives y, mean [C] and variance [C].
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Any:
        mean, variance = moments(x)
        ctx.save_for_backward(x, weight, bias, mean, variance)
        ctx.eps = eps
        ctx.mark_non_differentiable(mean, variance)
        return F.batch_norm(x, mean, variance, weight, bias, training=False, eps=eps), mean, variance

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_: Any) -> Any:
        x, weight, bias, mean, variance = ctx.saved_tensors
        if torch.is_grad_enabled():  # this will be differentiated once more
            wanted = [tensor for tensor in (x, weight, bias) if tensor is not None and tensor.requires_grad]
            y = normalise(x, weight, bias, ctx.eps)
            found = iter(torch.autograd.grad(y, wanted, gradient, create_graph=True))
            return *(next(found) if needed else None for needed in ctx.needs_input_grad[:3]), None
        ones = torch.ones_like(mean) if weight is None else weight
        # As if mean and variance were constants: weight / deviation * gradient, and the sums of gradient * normal and gradient.
        constant, with_normal, alone = torch.ops.aten.native_batch_norm_backward(
            gradient, x, ones, mean, variance, None, None, False, ctx.eps, [True, True, True]
        )
        # They are not: less its mean over the batch, and less its part along the normalised x.
        inverse = torch.rsqrt(variance + ctx.eps)
        slope, shift = mean_over_processes(torch.stack([with_normal, alone])) * (-x.shape[1] / x.numel()) * ones * inverse
        slope = slope * inverse
        shape = broadcast(x)
        constant.addcmul_(x, slope.view(shape)).add_((shift - slope * mean).view(shape))
        return constant, None if weight is None else with_normal, None if bias is None else alone, None


def moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance [C] over the batches of all processes: the mean of their variances and the variance of their means."""
    dims = (0, *range(2, x.dim()))
    mean = x.mean(dims)
    variance = (x - mean.view(broadcast(x))).square().mean(dims)
    means, variances = from_all_processes(torch.stack([mean, variance])).unbind(1)  # each [processes, C]
    mean = means.mean(0)
    return mean, variances.mean(0) + (means - mean).square().mean(0)


def normalise(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    """What `Normalise` gives, in steps that can be differentiated as often as one likes."""
    shape = broadcast(x)
    mean, variance = moments(x)
    y = (x - mean.view(shape)) * torch.rsqrt(variance + eps).view(shape)
    return y if weight is None or bias is None else y * weight.view(shape) + bias.view(shape)


def broadcast(x: Tensor) -> tuple[int, ...]:
    """The shape of a [C] that goes with x [B, C, ...]."""
    return 1, -1, *[1] * (x.dim() - 2)


def synchronise(network: nn.Module) -> None:
    """Make every batch norm of a network one of all processes; parameters and buffers stay as they are, under their names.

    Raises UserError for one that computes something of its own.
    """
    for layer in network.modules():
        if type(layer) in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d):
            layer.__class__ = SynchronisedBatchNorm
        elif isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
            raise UserError(
                f"{type(layer).__name__} is no plain batch norm: several processes need trainer.sync_batchnorm=false"
            )
