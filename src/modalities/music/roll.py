"""Piano rolls: pictures of many tunes, time from left to right, pitch from low to high."""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from src.modalities.music.tune import Tune

WIDTH = 1850  # pixels of a picture, about
LEFT, TOP, GAP = 26, 16, 10  # pixels: of the names of octaves, of the title, between rolls
PAPER, BLACK_KEYS, OUTSIDE = (255, 255, 255), (240, 242, 245), (214, 217, 222)
BEAT, BAR, OCTAVE, INK = (226, 229, 234), (168, 174, 184), (198, 203, 211), (40, 44, 52)
# Okabe and Ito's colours, which colour-blind people can tell apart.
VOICES = ((0, 114, 178), (213, 94, 0), (0, 158, 115), (204, 121, 167))
SHARPS = (1, 3, 6, 8, 10)  # pitch classes of black keys
FEWEST = 13  # pitches in a roll


def picture(tunes: Sequence[Tune], titles: Sequence[str], columns: int | None = None) -> np.ndarray:
    """uint8 [H, W, 3]: a roll for each tune, all of one scale and range of pitches, `columns` beside each other.

    columns: None for as many as fit into WIDTH. Bar lines and beats are vertical, the names of the octaves left. A colour is a
    voice.
    """
    pitches = [note.pitch for tune in tunes for note in tune.notes] or [60]
    missing = max(0, FEWEST - (max(pitches) - min(pitches) + 1))
    low, high = min(pitches) - 1 - missing // 2, max(pitches) + 1 + (missing + 1) // 2
    steps = max(tune.steps for tune in tunes)
    across = max(3 if columns is None else 2, min(8, 640 // steps, 2400 // (steps * (columns or 1))))  # pixels of a step
    down = 4 if high - low < 40 else 3  # pixels of a semitone
    width, height = steps * across + LEFT + GAP, (high - low + 1) * down + TOP + GAP
    columns = columns or max(1, min(len(tunes), WIDTH // width, math.ceil(math.sqrt(len(tunes)))))
    canvas = Image.new("RGB", (columns * width + GAP, math.ceil(len(tunes) / columns) * height + GAP), PAPER)
    for number, (tune, title) in enumerate(zip(tunes, titles, strict=True)):
        x, y = GAP + number % columns * width, GAP + number // columns * height
        _roll(ImageDraw.Draw(canvas), (x, y), tune, title, (low, high), (across, down), steps)
    return np.asarray(canvas)


def _roll(
    draw: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    tune: Tune,
    title: str,
    pitches: tuple[int, int],
    pixels: tuple[int, int],
    steps: int,
) -> None:
    (across, down), (low, high) = pixels, pitches
    left, top = corner[0] + LEFT, corner[1] + TOP
    right, bottom = left + steps * across, top + (high - low + 1) * down
    font = ImageFont.load_default(10)
    draw.text((left, corner[1]), title, fill=INK, font=font)
    draw.rectangle([left, top, right, bottom], fill=PAPER)
    for pitch in range(low, high + 1):
        y = top + (high - pitch) * down
        if pitch % 12 in SHARPS:
            draw.rectangle([left, y, right, y + down - 1], fill=BLACK_KEYS)
    for pitch in range(low, high + 1):
        y = top + (high - pitch) * down
        if pitch % 12 == 0:
            draw.line([left, y + down - 1, right, y + down - 1], fill=OCTAVE)
            draw.text((corner[0], y + down // 2 - 7), f"C{pitch // 12 - 1}", fill=INK, font=font)
    beats, unit = map(int, tune.metre.split("/"))
    beat = tune.bar * (3 if unit >= 8 and beats % 3 == 0 else 1) // beats
    for step in range(0, tune.steps + 1, beat):
        draw.line([left + step * across, top, left + step * across, bottom], fill=BAR if step % tune.bar == 0 else BEAT)
    if tune.steps < steps:
        draw.rectangle([left + tune.steps * across + 1, top, right, bottom], fill=OUTSIDE)
    for note in sorted(tune.notes, key=lambda note: -note.voice):  # the highest voice last, on top
        x, y = left + note.start * across, top + (high - note.pitch) * down
        colour = VOICES[note.voice % len(VOICES)]
        draw.rectangle([x + 1, y, x + note.duration * across - 1, y + down - 1], fill=colour)
        if note.duration * across > 3:  # where it begins
            draw.line([x + 1, y, x + 1, y + down - 1], fill=tuple(part // 2 for part in colour))
    draw.rectangle([left, top, right, bottom], outline=BAR)
