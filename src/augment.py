"""Augmentations of what the discriminator sees, real and generated alike (Zhao et al. 2020, DiffAugment).

Each is a function of images and of uniform numbers [B, draws] that the model draws for it, differentiable in the images.
"""

from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import pad


class Augmentation(Protocol):
    """x [B, *shape] and `draws` numbers in [0, 1) for each sample, [B, draws], to a view of x."""

    draws: int

    def __call__(self, x: Tensor, uniform: Tensor) -> Tensor: ...


class Translate:
    """Move every image by up to `pixels` pixels each way; what comes in is black.

    The discriminator then cannot know single pixels by heart, and the generator is not punished for being a pixel off.
    """

    draws = 2

    def __init__(self, pixels: int) -> None:
        self.pixels = pixels

    def __call__(self, x: Tensor, uniform: Tensor) -> Tensor:
        """Images [B, C, H, W] in [-1, 1] and numbers [B, 2] in [0, 1) to images of the same shape."""
        height, width = x.shape[2:]
        padded = pad(x, [self.pixels] * 4, value=-1.0)  # [B, C, H + 2p, W + 2p]
        down, right = (uniform * (2 * self.pixels + 1)).long().unbind(1)  # [B], 0..2p
        rows = down[:, None] + torch.arange(height, device=x.device)  # [B, H]
        columns = right[:, None] + torch.arange(width, device=x.device)  # [B, W]
        index = rows[:, :, None] * padded.shape[3] + columns[:, None, :]  # [B, H, W] into flattened planes
        index = index.flatten(1)[:, None].expand(-1, x.shape[1], -1)  # [B, C, H * W]
        return padded.flatten(2).gather(2, index).unflatten(2, (height, width))
