"""python -m benchmarks.plain_loop generator.pt folder n: samples to PNGs by the usual simple loop, for benchmarks.sampling."""

import sys
from pathlib import Path

import torch
from torch import nn
from torchvision.utils import save_image

BATCH = 128


@torch.no_grad()
def draw(generator: nn.Module, folder: Path, n: int) -> None:
    folder.mkdir()
    for start in range(0, n, BATCH):
        for number, sample in enumerate(generator(torch.randn(min(BATCH, n - start), generator.z_dim)), start):
            save_image(sample, folder / f"{number:06d}.png", normalize=True, value_range=(-1, 1))


if __name__ == "__main__":
    draw(torch.load(sys.argv[1], weights_only=False), Path(sys.argv[2]), int(sys.argv[3]))
