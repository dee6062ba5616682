"""Generator and discriminator of piano rolls, after MuseGAN (Dong et al. 2018, arXiv:1709.06298), much smaller.

From MuseGAN: a latent for each bar, made from that of the piece; a bar generator that grows time and pitch by transposed
convolutions; a discriminator that sees bars first and how they follow each other then. Left out: a network for each track;
all voices are channels of one roll.
"""

import torch
from torch import Tensor, nn

from src.data.music.notes import bar_steps
from src.data.spec import Spec

GROWTH = 4  # by two layers of stride 2, along time and along pitch


class MusicGenerator(nn.Module):
    """Latents to piano rolls [2 V, T, P] of whole bars, T steps and P pitches.

    z_dim: size of the latent. width: channels of the last hidden layer. metre: of the data, such as "4/4".
    """

    def __init__(self, spec: Spec, z_dim: int = 64, width: int = 32, metre: str = "4/4") -> None:
        super().__init__()
        self.z_dim, self.classes = z_dim, 0
        self.bars, bar, self.pitches = shape_of(spec, metre)
        self.start = bar // GROWTH, -(-self.pitches // GROWTH)
        channels = 4 * width
        # Bars depend on each other through the piece's latent alone; batch norm and ReLU as in DCGAN.
        self.temporal = nn.Sequential(nn.Linear(z_dim, self.bars * channels, bias=False), nn.BatchNorm1d(self.bars * channels))
        self.bar = nn.Linear(channels, channels * self.start[0] * self.start[1], bias=False)
        self.layers = nn.Sequential(
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.ConvTranspose2d(channels, 2 * width, 4, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(2 * width),
            nn.ReLU(inplace=True),
            nn.ConvTranspose2d(2 * width, width, 4, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, spec.shape[0], 3, padding=1),
            nn.Tanh(),
        )

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """z [B, z_dim] from N(0, I) to piano rolls [B, 2 V, T, P] in [-1, 1]; y is ignored."""
        bars = torch.relu(self.temporal(z)).unflatten(1, (self.bars, -1)).flatten(0, 1)  # [B * bars, C]
        x = self.layers(self.bar(bars).unflatten(1, (-1, *self.start)))  # [B * bars, 2 V, bar, >= P]
        x = x[..., : self.pitches].unflatten(0, (-1, self.bars))  # [B, bars, 2 V, bar, P]
        return x.transpose(1, 2).flatten(2, 3)


class MusicDiscriminator(nn.Module):
    """Piano rolls [2 V, T, P] to one logit each.

    width: channels of the first layer. metre: of the data, such as "4/4".
    """

    def __init__(self, spec: Spec, width: int = 32, metre: str = "4/4") -> None:
        super().__init__()
        bars, bar, pitches = shape_of(spec, metre)
        grid = bar // GROWTH, -(-pitches // GROWTH)
        self.padding = grid[1] * GROWTH - pitches
        self.within = nn.Sequential(
            nn.Conv2d(spec.shape[0], width, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(width, 2 * width, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(2 * width, 4 * width, grid, stride=grid),  # to [B, 4 width, bars, 1]
            nn.LeakyReLU(0.2, inplace=True),
        )
        self.over = nn.Sequential(
            nn.Flatten(), nn.Linear(4 * width * bars, 4 * width), nn.LeakyReLU(0.2, inplace=True), nn.Linear(4 * width, 1)
        )

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Piano rolls [B, 2 V, T, P] in [-1, 1] to logits [B]; y is ignored."""
        x = nn.functional.pad(x, (0, self.padding), value=-1.0)  # silence
        return self.over(self.within(x)).squeeze(1)


def shape_of(spec: Spec, metre: str) -> tuple[int, int, int]:
    """(bars, steps of a bar, pitches) of piano rolls; ValueError for other data, or bars that do not fit the networks."""
    bar = bar_steps(metre)
    if spec.kind != "roll" or len(spec.shape) != 3:
        raise ValueError(f"it takes piano rolls [2 V, T, P], not {spec.kind} of shape {spec.shape}: take data=folk_rolls")
    steps, pitches = spec.shape[1:]
    if steps % bar or bar % GROWTH:
        raise ValueError(f"samples of {steps} steps are no whole bars of {metre} with a multiple of {GROWTH} steps: take 4/4")
    return steps // bar, bar, pitches
