"""Files of clips: GIF and MP4 with marks. Clips are uint8 [T, H, W, C] with C = 1 (grey) or 3 (RGB)."""

import io
import itertools
import json
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from src.modalities.pictures import read_provenance

SUFFIXES = ".gif", ".mp4"
PLAYED = 256  # pixels: MP4 files, which no viewer enlarges sharply, have at least about this side
QUALITY = "12"  # of H.264: 0 is lossless, 51 the worst


def encode(clip: np.ndarray, rate: float, suffix: str, marks: Mapping[str, str]) -> bytes:
    """A clip as a file with one of SUFFIXES. rate: frames per second."""
    return gif(clip, rate, marks) if suffix == ".gif" else mp4(clip, rate, marks)


def gif(clip: np.ndarray, rate: float, marks: Mapping[str, str]) -> bytes:
    """An endless GIF, the marks in its comment. Grey clips are exact; colours are reduced to 256 in each frame.

    Equal frames in a row become one that lasts longer. GIF counts in hundredths of a second.
    """
    frames = [Image.fromarray(frame.squeeze(2) if frame.shape[2] == 1 else frame) for frame in clip]
    if clip.shape[3] == 3:
        frames = [frame.quantize(dither=Image.Dither.NONE) for frame in frames]  # dithering would flicker
    ends = [round(100 * number / rate) * 10 for number in range(len(frames) + 1)]  # milliseconds
    durations = [end - begin for begin, end in itertools.pairwise(ends)]
    comment, buffer = json.dumps(dict(marks)).encode() if marks else b"", io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:], duration=durations, loop=0, comment=comment)
    return buffer.getvalue()


def mp4(clip: np.ndarray, rate: float, marks: Mapping[str, str]) -> bytes:
    """H.264 in MP4, the marks in its comment. It is lossy, and its bytes depend on the version of FFmpeg."""
    from fractions import Fraction

    import av  # lazy: it loads FFmpeg

    _, height, width, channels = clip.shape
    scale = math.ceil(PLAYED / max(height, width))
    scale += scale * height % 2 or scale * width % 2  # H.264 halves the resolution of colours, so sides are even
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        if marks:
            container.metadata["comment"] = json.dumps(dict(marks))
        stream = container.add_stream("libx264", rate=Fraction(rate).limit_denominator(1000))
        stream.width, stream.height, stream.pix_fmt = width * scale, height * scale, "yuv420p"
        stream.options = {"crf": QUALITY}
        stream.codec_context.thread_count = 1  # more threads give other bytes
        for frame in np.repeat(clip, 3, axis=3) if channels == 1 else clip:
            enlarged = frame.repeat(scale, axis=0).repeat(scale, axis=1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(enlarged, "rgb24")))
        container.mux(stream.encode())
    return buffer.getvalue()


def read_marks(path: str | Path) -> dict[str, str]:
    """The marks inside a GIF or MP4 file; empty if it has none."""
    if Path(path).suffix.lower() != ".mp4":
        return read_provenance(path)
    import av

    with av.open(str(path)) as container:
        return json.loads(container.metadata.get("comment", "{}"))
