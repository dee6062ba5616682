"""Exponential moving average of a network's weights."""

import copy

import torch
from torch import Tensor, nn


class EMA(nn.Module):
    """A running average of a network's parameters: its samples vary less than those of the weights in training.

    The decay is given as a half-life in samples, so that it means the same at any batch size. It grows with the samples seen,
    so that the random initial weights are soon forgotten (Karras et al. 2022, EDM, appendix F.1;
    half-life = min(half_life, ramp_up * samples_seen)). Batch-norm statistics are averaged like the weights: current ones are
    noisy, and do not fit weights that are averaged over thousands of steps. Other buffers (counters, spectral norm's unit
    vectors) are copied.

    half_life: samples after which an old weight counts half; 0 follows the weights exactly.
    ramp_up: fraction of the samples seen that the half-life may reach.
    """

    def __init__(self, network: nn.Module, half_life: float, ramp_up: float = 0.05) -> None:
        super().__init__()
        self.half_life, self.ramp_up = half_life, ramp_up
        self.network = copy.deepcopy(network).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, network: nn.Module, samples: int, samples_seen: int) -> None:
        """Move the average towards `network` after an update on `samples` samples; samples_seen: all so far, these included."""
        half_life = min(self.half_life, self.ramp_up * samples_seen)
        decay = 0.5 ** (samples / half_life) if half_life > 0 else 0.0
        averaged, copied = _tensors(self.network)
        current, counters = _tensors(network)
        torch._foreach_lerp_(averaged, current, 1.0 - decay)
        if copied:
            torch._foreach_copy_(copied, counters)


def _tensors(network: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
    """(tensors that are averaged, tensors that are copied)."""
    averaged: list[Tensor] = list(network.parameters())
    copied: list[Tensor] = []
    for name, buffer in network.named_buffers():
        (averaged if name.endswith(("running_mean", "running_var")) else copied).append(buffer)
    return averaged, copied
