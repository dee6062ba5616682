"""Moving MNIST: clips of two handwritten digits that bounce in a box, made from MNIST's digits as they are read."""

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

from src.config.errors import UserError
from src.data.mnist import MNIST
from src.data.sources import Source
from src.data.spec import Field, Spec

SIZES = {"train": 50_000, "validation": 2_000, "test": 2_000}  # clips
STREAMS = {"train": 1, "validation": 2, "test": 3}
SIDE, DIGIT = 64, 28  # pixels of a frame and of a digit
ROOM = SIDE - DIGIT  # pixels that a digit can move along each axis
DIGITS = 2
SPEEDS = 2.0, 5.0  # pixels per frame
RATE = 10.0  # frames per second
FRAMES = 16, 20  # fewest and most
DRAWS = 5  # random numbers of a digit: which one, place (2), angle, speed


class Truth(NamedTuple):
    """What moves in N clips of T frames.

    rows: MNIST's images, int64 [N, 2]. digits: their classes, [N, 2]. places: of the upper left corner of each digit,
    (x, y) in pixels from 0 to ROOM, float64 [N, T, 2, 2] (clip, frame, digit, axis). velocities: pixels per frame, as `places`.
    """

    rows: np.ndarray
    digits: np.ndarray
    places: np.ndarray
    velocities: np.ndarray


class Clips:
    """A split: clip i depends on the split and on i alone.

    images: uint8 [M, 28, 28]. labels: [M].
    """

    def __init__(self, images: np.ndarray, labels: np.ndarray, stream: int, clips: int, frames: int) -> None:
        self.images, self.labels, self.stream, self.clips, self.frames = images, labels, stream, clips, frames

    def __len__(self) -> int:
        return self.clips

    def truth(self, indices: np.ndarray) -> Truth:
        """What the clips of these indices [N] show."""
        which, x, y, angle, speed = uniform(self.stream, indices, DIGITS * DRAWS).reshape(-1, DIGITS, DRAWS).transpose(2, 0, 1)
        rows = (which * len(self.images)).astype(np.int64)
        speed = SPEEDS[0] + (SPEEDS[1] - SPEEDS[0]) * speed
        velocity = speed[..., None] * np.stack([np.cos(2 * np.pi * angle), np.sin(2 * np.pi * angle)], axis=-1)  # [N, 2, 2]
        time = np.arange(self.frames)[None, :, None, None]
        places, directions = bounced(ROOM * np.stack([x, y], axis=-1)[:, None] + time * velocity[:, None])
        return Truth(rows, self.labels[rows], places, directions * velocity[:, None])

    def batch(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        truth = self.truth(np.asarray(indices).reshape(-1))
        return {"x": draw(self.images[truth.rows], truth.places).reshape(*np.shape(indices), self.frames, 1, SIDE, SIDE)}


def uniform(stream: int, indices: np.ndarray, count: int) -> np.ndarray:
    """Numbers in [0, 1), float64 [N, count], which depend on the stream and the index alone.

    Output `count * index + j` of SplitMix64 (Steele et al. 2014, figure 12) begun at `stream` * 2^56: unlike NumPy's
    generators, it gives the numbers of many indices at once.
    """
    steps = np.asarray(indices, np.uint64)[:, None] * np.uint64(count) + np.arange(1, count + 1, dtype=np.uint64)
    z: Any = np.uint64(stream << 56) + steps * np.uint64(0x9E3779B97F4A7C15)  # modulo 2^64, as all that follows
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((z ^ (z >> np.uint64(31))) >> np.uint64(11)) * 2.0**-53


def bounced(places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places on a line without walls to (places between the walls 0 and ROOM, directions 1 or -1), any shape.

    A wall reflects a digit without loss: its place is a triangle wave.
    """
    within = np.mod(places, 2 * ROOM)
    return np.minimum(within, 2 * ROOM - within), np.where(within > ROOM, -1.0, 1.0)


def draw(images: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Images uint8 [N, D, 28, 28] at places [N, T, D, 2], rounded to pixels, as clips uint8 [N, T, 64, 64].

    Where digits overlap, the brighter pixel counts.
    """
    clips = np.zeros((*places.shape[:2], SIDE, SIDE), np.uint8)
    corners = np.round(places).astype(int).tolist()
    for clip, digits, frames in zip(clips, images, corners, strict=True):
        for frame, corner in zip(clip, frames, strict=True):
            for digit, (x, y) in zip(digits, corner, strict=True):
                window = frame[y : y + DIGIT, x : x + DIGIT]
                np.maximum(window, digit, out=window)
    return clips


class MovingMNIST:
    """Srivastava et al. 2015 (arXiv:1502.04681, section 4.2): two digits, each with a direction and a speed of its own.

    Clips are uint8 [N, T, 1, 64, 64]. Speeds are uniform in SPEEDS, directions uniform. Clips are drawn when they are read;
    nothing is stored. The digits of each split are those of MNIST's split of that name.

    folder: of MNIST's four files. frames: T, from 16 to 20; frame t is the same for any T. sources: as in MNIST.
    """

    name = "moving_mnist"
    sha256: ClassVar[dict[str, str]] = {
        "test clips": "32f736a7f68ac8afa0e8ad8730d4cc458519b99eeac85b81f2114e69f26c6e69",
    }

    def __init__(self, folder: str | Path, frames: int = FRAMES[0], sources: Sequence[Source] | None = None) -> None:
        if not FRAMES[0] <= frames <= FRAMES[1]:
            raise UserError(f"data.frames={frames}: clips of moving_mnist have {FRAMES[0]} to {FRAMES[1]} frames")
        self.mnist, self.frames = MNIST(folder, sources), frames
        self.spec = Spec({"x": Field("video", (frames, 1, SIDE, SIDE), "uint8", rate=RATE)})

    def prepare(self) -> None:
        """Get and check MNIST's files, check the clips of the test split; raises UserError with the remedy."""
        self.mnist.prepare()
        if self._test_hash != self.sha256["test clips"]:
            raise UserError("this NumPy draws other clips than the pinned ones: install the locked version")

    def hashes(self) -> dict[str, str]:
        """SHA-256 of MNIST's files, and of the test clips with the most frames, which prepare() has checked."""
        return self.mnist.hashes() | self.sha256

    def split(self, name: str) -> Clips:
        """ "train" (50,000), "validation" (2,000) or "test" (2,000)."""
        return self._clips(name, self.frames)

    def _clips(self, name: str, frames: int) -> Clips:
        digits = self.mnist.split(name)
        return Clips(np.asarray(digits["x"])[:, 0], digits["y"], STREAMS[name], SIZES[name], frames)

    @cached_property
    def _test_hash(self) -> str:
        clips, digest = self._clips("test", FRAMES[1]), hashlib.sha256()
        for start in range(0, len(clips), 100):
            digest.update(clips.batch(np.arange(start, start + 100))["x"].tobytes())
        return digest.hexdigest()
