"""Augmentations of images, of a discriminator's input or of contrastive views: shifts, mirror images, DiffAugment.

ADA has its own file.

Each is a function of images and of uniform numbers, which the model draws. It is differentiable in the images.
"""

from collections.abc import Callable, Collection, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import pad


class Augmentation(nn.Module):
    """Maps images [B, C, H, W] and uniform numbers [B, draws] in [0, 1) to images of the same shape.

    A module, so that an augmentation's state (`ADA`) is part of the checkpoint.
    """

    draws: int

    def observe(self, real_logits: Tensor, images: int) -> None:
        """Called after each discriminator update. real_logits: this rank's [B]; images: number of real images of all ranks."""

    def scalars(self) -> dict[str, float]:
        """Values to log, by name."""
        return {}


class Translate(Augmentation):
    """Shift every image by up to `pixels` pixels in each direction; new pixels are `fill`, -1 for black, 1 for white.

    The discriminator then cannot memorise single pixels, and the generator is not penalised for a shift by a pixel.
    """

    draws = 2

    def __init__(self, pixels: int, fill: float = -1.0) -> None:
        super().__init__()
        self.pixels, self.fill = pixels, fill

    def forward(self, x: Tensor, uniform: Tensor) -> Tensor:
        """Images [B, C, H, W] in [-1, 1] and numbers [B, 2] in [0, 1) to images of the same shape."""
        return move(x, uniform, self.pixels, self.fill)


class Mirror(Augmentation):
    """Mirror half of the images, left to right."""

    draws = 1

    def forward(self, x: Tensor, uniform: Tensor) -> Tensor:
        """Images [B, C, H, W] and numbers [B, 1] in [0, 1) to images of the same shape."""
        return torch.where(uniform[:, :, None, None] < 0.5, x.flip(3), x)


class DiffAugment(Augmentation):
    """Differentiable augmentation of every image (Zhao et al. 2020, arXiv:2006.10738, section 3), with the authors' strengths.

    policy: operations, in the order given.
        color: brightness by -0.5..0.5, saturation times 0..2 (not for grey images), contrast times 0.5..1.5;
        translation: by up to an eighth of the side (rounded) in each direction; new pixels are zero (mid-grey);
        cutout: a square of half the side, centred anywhere, becomes zero.
    """

    def __init__(self, policy: Sequence[str] = ("color", "translation", "cutout")) -> None:
        super().__init__()
        check_policy(policy, POLICIES)
        self.steps = [POLICIES[name] for name in policy]
        self.sizes = [draws for draws, _ in self.steps]
        self.draws = sum(self.sizes)

    def forward(self, x: Tensor, uniform: Tensor) -> Tensor:
        """Images [B, C, H, W] in [-1, 1] and numbers [B, draws] in [0, 1) to the same shape; colours are not clipped."""
        for (_, step), numbers in zip(self.steps, uniform.split(self.sizes, dim=1), strict=True):
            x = step(x, numbers)
        return x


def check_policy(policy: Sequence[str], known: Collection[str]) -> None:
    unknown = [name for name in policy if name not in known]
    if unknown:
        raise ValueError(f"no augmentation is called {', '.join(unknown)}: list any of {', '.join(known)}")


def move(x: Tensor, uniform: Tensor, pixels: int, fill: float) -> Tensor:
    """Images [B, C, H, W] seen through a window, which numbers [B, 2] move: 0 by `pixels` up or left, near 1 down or right."""
    height, width = x.shape[2:]
    padded = pad(x, [pixels] * 4, value=fill)  # [B, C, H + 2p, W + 2p]
    down, right = (uniform * (2 * pixels + 1)).long().unbind(1)  # [B], 0..2p
    rows = down[:, None] + torch.arange(height, device=x.device)  # [B, H]
    columns = right[:, None] + torch.arange(width, device=x.device)  # [B, W]
    index = rows[:, :, None] * padded.shape[3] + columns[:, None, :]  # [B, H, W] into flattened planes
    index = index.flatten(1)[:, None].expand(-1, x.shape[1], -1)  # [B, C, H * W]
    return padded.flatten(2).gather(2, index).unflatten(2, (height, width))


def color(x: Tensor, uniform: Tensor) -> Tensor:
    """Brightness, saturation and contrast of images [B, C, H, W] by numbers [B, 3] in [0, 1)."""
    brightness, saturation, contrast = uniform[:, :, None, None, None].unbind(1)  # [B, 1, 1, 1]
    x = x + (brightness - 0.5)
    if x.shape[1] > 1:
        grey = x.mean(1, keepdim=True)
        x = grey + (x - grey) * (2 * saturation)
    mean = x.mean((1, 2, 3), keepdim=True)
    return mean + (x - mean) * (contrast + 0.5)


def translation(x: Tensor, uniform: Tensor) -> Tensor:
    return move(x, uniform, (x.shape[2] + 4) // 8, fill=0.0)


def cutout(x: Tensor, uniform: Tensor) -> Tensor:
    """Zeros in a square of half the side, which may extend beyond the images [B, C, H, W]; numbers [B, 2] in [0, 1)."""
    side, size = x.shape[2], x.shape[2] // 2
    # All possible centres: the pixels for an odd size, the borders between and around pixels for an even one.
    first = (uniform * (side + 1 - size % 2)).long() - size // 2  # [B, 2], the square's first row and column
    offset = torch.arange(side, device=x.device) - first[:, :, None]  # [B, 2, side]
    down, right = ((offset >= 0) & (offset < size)).unbind(1)  # [B, side]
    return x * ~(down[:, :, None] & right[:, None, :])[:, None]  # by [B, 1, H, W]


# Name -> (draws, function of images and numbers [B, draws]).
POLICIES: dict[str, tuple[int, Callable[[Tensor, Tensor], Tensor]]] = {
    "color": (3, color),
    "translation": (2, translation),
    "cutout": (2, cutout),
}
