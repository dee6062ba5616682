"""Small synthetic video for tests: a bright square that moves to the right and begins anew at the left."""

import numpy as np

from src.data.dataset import Arrays
from src.data.spec import Field, Spec

SIZES = {"train": 64, "validation": 24, "test": 24}


class Squares:
    """x: uint8 [N, 4, 1, 16, 16], a square of 4 x 4 in a random row, which moves by one to three pixels per frame."""

    name = "squares"

    def __init__(self, frames: int = 4, channels: int = 1) -> None:
        self.frames, self.channels = frames, channels
        self.spec = Spec({"x": Field("video", (frames, channels, 16, 16), "uint8", rate=8.0)})

    def prepare(self) -> None: ...

    def hashes(self) -> dict[str, str]:
        return {"x": "0"}

    def split(self, name: str) -> Arrays:
        random = np.random.default_rng(len(name))
        x = np.zeros((SIZES[name], *self.spec.shape), np.uint8)
        for clip in x:
            row, column, speed = random.integers(12), random.integers(12), random.integers(1, 4)
            for t, frame in enumerate(clip):
                left = (column + speed * t) % 12
                frame[:, row : row + 4, left : left + 4] = 255
        return Arrays(x=x)


def words_of_clips(suite: bool = True) -> list[str]:
    """Words of `compose` for a small model=video_gan on Squares. suite: evaluation=video, else one that costs nothing."""
    words = ["data.name=squares", "~data.source", "~data.frames", "+data.source={_target_: clips.Squares}", "samples.n=2"]
    words += ["model.generator={content: 4, motion: 4, hidden: 8, width: 4}", "model.discriminator={width: 4, clip_width: 4}"]
    return words if suite else [*words, "evaluation=likelihood", "evaluation._target_=tunes.Mean"]
