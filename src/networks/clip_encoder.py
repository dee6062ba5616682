"""A small space-time encoder of clips: what moves in each frame, and how frames follow each other."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

SIDE = 64  # pixels of a frame
CELL = 8  # pixels of a cell of the grid on which things are found
CLASSES = 10
KINDS = 6  # of clips that are told from each other in training
MOTION = 6  # numbers that describe the motion of a clip in training


class Found(NamedTuple):
    """What a frame shows, on a grid of SIDE / CELL = 8 cells: [N, ., 8, 8].

    presence: logits [N, 1, 8, 8] of the centre of a thing. offset: of that centre from the cell's, in cells, [N, 2, 8, 8]
    (x, y). classes: logits [N, CLASSES, 8, 8].
    """

    presence: Tensor
    offset: Tensor
    classes: Tensor


class ClipEncoder(nn.Module):
    """Frames to features by two-dimensional convolutions, features of frames to those of clips by three-dimensional ones.

    width: channels of the first layer.
    """

    def __init__(self, width: int = 12) -> None:
        super().__init__()
        self.width, deep = width, 4 * width
        self.frames = nn.Sequential(
            *block(nn.Conv2d(1, width, 3, stride=2, padding=1, bias=False)),
            *block(nn.Conv2d(width, 2 * width, 3, stride=2, padding=1, bias=False)),
            *block(nn.Conv2d(2 * width, deep, 3, stride=2, padding=1, bias=False)),
            *block(nn.Conv2d(deep, deep, 3, padding=1, bias=False)),
            *block(nn.Conv2d(deep, deep, 3, padding=1, bias=False)),
        )
        self.things = nn.Conv2d(deep, 3 + CLASSES, 1)
        self.clips = nn.Sequential(
            *block(nn.Conv3d(deep, deep, 3, stride=(1, 2, 2), padding=1, bias=False)),
            *block(nn.Conv3d(deep, deep, 3, stride=2, padding=1, bias=False)),
        )
        # Only training uses these: whoever knows the answers has features that see them.
        self.kind, self.motion, self.digits = (nn.Linear(2 * deep, size) for size in (KINDS, MOTION, CLASSES))

    def maps(self, x: Tensor) -> Tensor:
        """Frames [N, 1, 64, 64] in [-1, 1] to [N, 4 width, 8, 8]."""
        return self.frames(x)

    def find(self, maps: Tensor) -> Found:
        return Found(*self.things(maps).split([1, 2, CLASSES], dim=1))

    def features(self, maps: Tensor) -> Tensor:
        """Maps of the frames of clips, [B, T, 4 width, 8, 8], to features [B, 8 width]: mean and deviation in the clip."""
        x = self.clips(maps.transpose(1, 2)).flatten(2)  # [B, 4 width, T' H W]
        return torch.cat([x.mean(dim=2), (x.var(dim=2, unbiased=False) + 1e-5).sqrt()], dim=1)


def block(convolution: nn.Conv2d | nn.Conv3d) -> list[nn.Module]:
    norm = nn.BatchNorm3d if isinstance(convolution, nn.Conv3d) else nn.BatchNorm2d
    return [convolution, norm(convolution.out_channels), nn.ReLU(inplace=True)]
