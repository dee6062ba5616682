"""Sound: the same bytes everywhere, the right pitches, no clicks."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from src.config.errors import UserError
from src.data.music.notes import Note
from src.modalities.music import synth
from src.modalities.music.tune import Tune

SCALE = Tune(tuple(Note(0, 60 + step, 4 * place, 4) for place, step in enumerate((0, 2, 4, 5))), 16)
DIGEST = "366f6f0be9ce1852829d5848b9e90e53d495d236b81e0f77128b84a36890a983"  # of a WAV file, on every machine


def loudest(sound: np.ndarray, start: float, seconds: float) -> float:
    """The frequency, in hertz, with most energy."""
    part = sound[int(start * synth.RATE) : int((start + seconds) * synth.RATE)].astype(np.float64)
    spectrum = np.abs(np.fft.rfft(part * np.hanning(len(part)), 2**17))
    return float(spectrum.argmax() * synth.RATE / 2**17)


def test_the_bytes_are_pinned() -> None:
    assert hashlib.sha256(synth.wav(synth.sound(SCALE), {"seed": "1"})).hexdigest() == DIGEST


def test_notes_have_their_pitches_and_begin_on_time() -> None:
    sound = synth.sound(replace(SCALE, tempo=60.0))
    assert len(sound) == pytest.approx((4 + synth.RELEASE) * synth.RATE, abs=2)
    for place, hertz in enumerate((261.63, 293.66, 329.63, 349.23)):
        assert loudest(sound, place + 0.1, 0.8) == pytest.approx(hertz, abs=1)


def test_no_clicks_and_no_overflow() -> None:
    """Between two samples nothing jumps by more than the fastest partial does; it begins and ends in silence."""
    chord = Tune(tuple(Note(voice, pitch, 0, 16) for voice, pitch in enumerate((72, 67, 64, 48))), 16)
    for tune in (SCALE, chord):
        sound = synth.sound(tune).astype(np.float64)
        assert abs(sound[0]) < 50
        assert abs(sound[-1]) < 50
        assert np.abs(sound).max() == pytest.approx(synth.LOUDEST * 32767, abs=1)
        second = np.abs(np.diff(sound, 2))
        assert second.max() < 3 * np.quantile(second, 0.999)


def test_silence() -> None:
    assert not synth.sound(Tune((), 16)).any()


def test_fluidsynth_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match="fluidsynth is not installed: apt-get install fluidsynth"):
        synth.check_fluidsynth()
