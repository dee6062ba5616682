"""Batch norm over the global batch of several processes."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from src.config.errors import UserError
from src.parallel.collectives import from_all_processes, mean_over_processes, world_size


class SynchronisedBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch norm (Ioffe and Szegedy 2015) with the statistics of the global batch; all ranks' parts have equal size.

    Not `nn.SyncBatchNorm`: it works on GPUs only and cannot be differentiated twice.
    """

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, ...] to the same shape."""
        if not self.training:
            return super().forward(x)
        kept = self.weight if self.running_mean is None else self.running_mean
        x = x if kept is None else x.to(torch.promote_types(x.dtype, kept.dtype))
        y, mean, variance = Normalise.apply(x, self.weight, self.bias, self.eps)
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:  # not tracked
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
    """weight * (x - mean) / sqrt(variance + eps) + bias: PyTorch's kernels, and one all-reduce forward and one backward.

    x [B, C, ...]; weight and bias [C] or None. Returns y, mean [C] and variance [C].
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
        if torch.is_grad_enabled():  # create_graph: second derivatives follow
            wanted = [tensor for tensor in (x, weight, bias) if tensor is not None and tensor.requires_grad]
            y = normalise(x, weight, bias, ctx.eps)
            found = iter(torch.autograd.grad(y, wanted, gradient, create_graph=True))
            return *(next(found) if needed else None for needed in ctx.needs_input_grad[:3]), None
        ones = torch.ones_like(mean) if weight is None else weight
        # With mean and variance as constants: weight / deviation * gradient; the sums of gradient * normal and of gradient.
        constant, with_normal, alone = torch.ops.aten.native_batch_norm_backward(
            gradient, x, ones, mean, variance, None, None, False, ctx.eps, [True, True, True]
        )
        # They depend on x: subtract the gradient's mean over the batch, and its part along the normalised x.
        inverse = torch.rsqrt(variance + ctx.eps)
        slope, shift = mean_over_processes(torch.stack([with_normal, alone])) * (-x.shape[1] / x.numel()) * ones * inverse
        slope = slope * inverse
        shape = broadcast(x)
        constant.addcmul_(x, slope.view(shape)).add_((shift - slope * mean).view(shape))
        return constant, None if weight is None else with_normal, None if bias is None else alone, None


def moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance [C] of the global batch: its variance is the ranks' mean variance + the variance of their means."""
    dims = (0, *range(2, x.dim()))
    mean = x.mean(dims)
    variance = (x - mean.view(broadcast(x))).square().mean(dims)
    means, variances = from_all_processes(torch.stack([mean, variance])).unbind(1)  # each [processes, C]
    mean = means.mean(0)
    return mean, variances.mean(0) + (means - mean).square().mean(0)


def normalise(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    """The y of `Normalise`, from operations that can be differentiated any number of times."""
    shape = broadcast(x)
    mean, variance = moments(x)
    y = (x - mean.view(shape)) * torch.rsqrt(variance + eps).view(shape)
    return y if weight is None or bias is None else y * weight.view(shape) + bias.view(shape)


def broadcast(x: Tensor) -> tuple[int, ...]:
    """The shape that broadcasts a [C] to x [B, C, ...]."""
    return 1, -1, *[1] * (x.dim() - 2)


def synchronise(network: nn.Module) -> None:
    """Make every batch norm of a network a SynchronisedBatchNorm, in place; parameters and buffers keep values and names.

    Raises UserError for a subclass of batch norm, which may compute something else.
    """
    for layer in network.modules():
        if type(layer) in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d):
            layer.__class__ = SynchronisedBatchNorm
        elif isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
            raise UserError(
                f"{type(layer).__name__} is no plain batch norm: several processes need trainer.sync_batchnorm=false"
            )
