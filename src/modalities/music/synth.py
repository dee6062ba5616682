"""Sound of tunes: additive synthesis in NumPy, and WAV files.

A note is a sum of decaying partials, like a plucked string. The bytes are the same on every machine: sines come from a table of
rounded numbers, and the rest are single additions and multiplications.
"""

import io
import json
import math
import shutil
import struct
import subprocess
import tempfile
import wave
from collections.abc import Mapping
from functools import cache, lru_cache
from pathlib import Path

import numpy as np

from src.config.errors import UserError
from src.modalities.music.tune import Tune

RATE = 22_050  # samples per second
PARTIALS = 8
ATTACK, RELEASE = 0.006, 0.09  # seconds
LOUDEST = 0.8  # of full scale
ACCOMPANIMENT = 0.75  # loudness of the voices below the first
TABLE, BLOCK = 16, 64  # 2**TABLE sines; samples between two exact values of a decay
EXACT = 2.0**30  # numbers of the C library are rounded to multiples of 1 / EXACT, because their last bits differ
SOUNDFONTS = [Path("/usr/share/sounds/sf2") / name for name in ("TimGM6mb.sf2", "default-GM.sf2", "FluidR3_GM.sf2")]
TO_INSTALL = "apt-get install fluidsynth timgm6mb-soundfont"


def sound(tune: Tune) -> np.ndarray:
    """int16 [number of samples] at RATE; a little longer than the tune, so that its last note dies away."""
    scale = tune.step_seconds * RATE
    tail = round(RELEASE * RATE)
    mix = np.zeros(round(tune.steps * scale) + tail)
    for note in tune.notes:
        begin, end = round(note.start * scale), round((note.start + note.duration) * scale)
        length = end - begin + tail
        whole = tone(note.pitch, -(-length // RATE))
        gain = 1.0 if note.voice == 0 else ACCOMPANIMENT
        mix[begin : begin + end - begin] += gain * whole[: end - begin]
        mix[end : begin + length] += gain * whole[end - begin : length] * ramp(tail)[::-1]
    peak = np.abs(mix).max(initial=0)
    return np.rint(mix * (LOUDEST * 32767 / peak if peak else 0)).astype(np.int16)


@lru_cache(maxsize=512)
def tone(pitch: int, seconds: int) -> np.ndarray:
    """The first seconds of a note of a MIDI pitch that is never released, float64 [seconds * RATE]."""
    frequency = 440 * 2 ** ((pitch - 69) / 12)
    places = np.arange(seconds * RATE, dtype=np.uint32)
    found = np.zeros(len(places))
    for partial in range(1, PARTIALS + 1):
        if partial * frequency > 0.45 * RATE:
            break
        turns = np.uint32(round(partial * frequency / RATE * 2**32))  # of 2**32 per sample; the product wraps
        loss = (0.4 + 0.5 * partial) * (frequency / 262) ** 0.4  # per second
        found += sines()[(places * turns) >> np.uint32(32 - TABLE)] * decay(loss, len(places)) * rounded(partial**-1.4)
    attack = round(ATTACK * RATE)
    found[:attack] *= ramp(attack)
    found.flags.writeable = False
    return found


@cache
def sines() -> np.ndarray:
    """One turn, float64 [2**TABLE]."""
    return np.array([rounded(math.sin(2 * math.pi * place / 2**TABLE)) for place in range(2**TABLE)])


def decay(loss: float, length: int) -> np.ndarray:
    """exp(-loss t), float64 [length], linear between the values of every BLOCK samples."""
    values = np.array([rounded(math.exp(-loss * place * BLOCK / RATE)) for place in range(-(-length // BLOCK) + 1)])
    between = values[:-1, None] + (values[1:] - values[:-1])[:, None] * (np.arange(BLOCK) / BLOCK)
    return between.reshape(-1)[:length]


@cache
def ramp(length: int) -> np.ndarray:
    """From 0 to 1 without a corner, float64 [length]."""
    x = np.arange(length) / length
    return x * x * (3 - 2 * x)


def rounded(number: float) -> float:
    return round(number * EXACT) / EXACT


def wav(samples: np.ndarray, marks: Mapping[str, str]) -> bytes:
    """A mono WAV file of int16 [N]; the marks are the comment of its INFO list, as JSON."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.astype("<i2").tobytes())
    return marked(buffer.getvalue(), marks)


def marked(data: bytes, marks: Mapping[str, str]) -> bytes:
    """A WAV file with a further chunk, an INFO list; unchanged without marks."""
    if not marks:
        return data
    comment = json.dumps(dict(marks)).encode() + b"\0"
    comment += b"\0" * (len(comment) % 2)
    chunk = b"LIST" + struct.pack("<I", 12 + len(comment)) + b"INFOICMT" + struct.pack("<I", len(comment)) + comment
    return data[:4] + struct.pack("<I", len(data) + len(chunk) - 8) + data[8:] + chunk


def read_marks(data: bytes) -> dict[str, str]:
    """The marks in a WAV file that `wav` made; empty if it has none."""
    _, found, rest = data.partition(b"INFOICMT")
    return json.loads(rest[4 : 4 + struct.unpack("<I", rest[:4])[0]].rstrip(b"\0")) if found else {}


def check_fluidsynth() -> Path:
    """The soundfont that is installed; UserError if it or the program is missing."""
    found = next((path for path in SOUNDFONTS if path.is_file()), None)
    if not (shutil.which("fluidsynth") and found):
        missing = "a soundfont" if shutil.which("fluidsynth") else "the program fluidsynth"
        raise UserError(f"synth=fluidsynth: {missing} is not installed: {TO_INSTALL}, or take synth=own")
    return found


def fluidsynth(midi: bytes, marks: Mapping[str, str]) -> bytes:
    """The WAV file that FluidSynth makes of a MIDI file, stereo at RATE. Its bytes depend on its version."""
    font = check_fluidsynth()
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "tune.mid", Path(folder) / "tune.wav"
        source.write_bytes(midi)
        command = f"fluidsynth -ni -q -T wav -O s16 -r {RATE} -F".split()
        done = subprocess.run([*command, str(target), str(font), str(source)], capture_output=True, text=True)
        if done.returncode or not target.is_file():
            reason = " ".join(done.stderr.split())[-200:]
            raise UserError(f"synth=fluidsynth: it failed ({reason}): take synth=own")
        return marked(target.read_bytes(), marks)
