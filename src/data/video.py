"""Any folder of clips as a data set."""

import io
from pathlib import Path
from typing import Any

import numpy as np

from src.config.errors import UserError
from src.data.decoded import to_square
from src.data.folder import Folder
from src.data.spec import Field, Spec

FEWEST_FRAMES = 2
DECODING = 1  # increase it when reading changes the frames: older caches are then not used


class Videos(Folder):
    """The clips in a folder and all folders below it: windows uint8 [N, T, channels, size, size] of T frames each.

    Each file is resampled to `rate` frames per second: frame k is what the file shows (k + 1/2) / rate seconds after it begins.
    Frames become squares as the images of `Folder` do. The file is cut into windows of `frames` frames, one after another; the
    rest of it is left out, and so are files shorter than a window, which `notes` counts. Splits are by file, about 80, 10 and
    10 % by hash, or folders, as in `Folder`. There are no classes.

    rate: frames per second. frames: T. Other arguments: see Folder.
    """

    name = "video"
    suffixes = (".avi", ".gif", ".m4v", ".mkv", ".mov", ".mp4", ".webm")
    things = "clips"
    held_out = 0.1  # folders have fewer clips than images
    remedy = "add different clips, some 100 in all, or make folders train, val and test"
    portion = 4  # one may be long

    def __init__(
        self,
        path: str | Path,
        cache: str | Path,
        size: int = 64,
        channels: int = 3,
        rate: float = 10.0,
        frames: int = 16,
        max_broken: float = 0.05,
    ) -> None:
        if not 0 < rate <= 1000:
            raise UserError(f"data.rate={rate}: must be frames per second, above 0")
        if frames < FEWEST_FRAMES:
            raise UserError(f"data.frames={frames}: must be at least {FEWEST_FRAMES}")
        super().__init__(path, cache, size, channels, max_broken)
        self.rate, self.frames, self.units = float(rate), frames, f"windows of {frames} frames"
        self._settings: dict[str, Any] = {**self._settings, "rate": self.rate, "frames": frames, "decoding": DECODING}
        self.spec = Spec({"x": Field("video", (frames, channels, size, size), "uint8", rate=self.rate)})

    def notes(self) -> dict[str, int]:
        """How many clips are shorter than a window, if there are any."""
        short = len(self._ready().details()["empty"])
        return {f"clips shorter than {self.frames / self.rate:g} seconds, left out": short} if short else {}

    def _classes(self, names: list[str]) -> tuple[str, ...]:
        return ()

    def _samples(self, data: bytes) -> list[np.ndarray]:
        """Windows uint8 [T, channels, size, size] of a file."""
        frames = resampled(data, self.rate, self.size, self.channels)
        return [np.stack(frames[i : i + self.frames]) for i in range(0, len(frames) - self.frames + 1, self.frames)]


def resampled(data: bytes, rate: float, size: int, channels: int) -> list[np.ndarray]:
    """The frames of a file, uint8 [channels, size, size] each, at `rate` per second.

    Nearly any error, as FFmpeg raises them, for damaged bytes.
    """
    import av  # lazy: it loads FFmpeg

    found: list[np.ndarray] = []
    shown: Any = None  # the frame before, and the second at which it ends
    begin = end = 0.0

    def show_until(second: float) -> None:
        """What is shown up to this second of the result."""
        square = None
        while shown is not None and (len(found) + 0.5) / rate < second - 1e-6:
            square = to_square(picture(shown), size, channels) if square is None else square
            found.append(square)

    with av.open(io.BytesIO(data), "r") as container:
        if not container.streams.video:
            raise ValueError("there is no picture in it")
        stream = container.streams.video[0]
        for frame in container.decode(stream):
            if frame.time is None:
                raise ValueError("its frames have no times")
            begin = frame.time if shown is None else begin
            show_until(frame.time - begin)
            known = frame.duration and frame.time_base
            lasts = frame.duration * frame.time_base if known else 1 / (stream.average_rate or rate)  # type: ignore[operator]
            shown, end = frame, frame.time - begin + float(lasts)
        show_until(end)
    if not found:
        raise ValueError("there are no frames in it")
    return found


def picture(frame: Any) -> Any:
    """A frame as a PIL image, turned as its file says."""
    from PIL import Image

    alpha = any(component.is_alpha for component in frame.format.components)
    image = Image.fromarray(frame.to_ndarray(format="rgba" if alpha else "rgb24"))
    return image.rotate(frame.rotation, expand=True) if frame.rotation else image
