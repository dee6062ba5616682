"""MIDI files of tunes. `src.data.music.midi_files` reads MIDI."""

import io
from collections.abc import Mapping
from typing import Any

import mido

from src.data.music.notes import STEPS
from src.modalities.music.spelling import tonic_name
from src.modalities.music.tune import Tune

TICKS = 480  # per quarter note
STEP = TICKS // STEPS
LOUDNESS = 80  # of 127
DRUMS = 9  # the channel that plays no pitches


def midi(tune: Tune, marks: Mapping[str, str]) -> bytes:
    """A MIDI file: a track with tempo, metre, key and the marks as text events, then a track for each voice.

    Words are lyric events in UTF-8, at the notes of the first voice.
    """
    file = mido.MidiFile(type=1, ticks_per_beat=TICKS, charset="utf-8")
    beats, unit = map(int, tune.metre.split("/"))
    meta = mido.MidiTrack(mido.MetaMessage("text", text=f"{name}: {value}") for name, value in marks.items())
    meta += [
        mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(tune.tempo)),
        mido.MetaMessage("time_signature", numerator=beats, denominator=unit),
        mido.MetaMessage("key_signature", key=f"{tonic_name(tune.key)}{'m' * (tune.key.mode == 'minor')}"),
        mido.MetaMessage("end_of_track", time=tune.steps * STEP),
    ]
    file.tracks.append(meta)
    for voice in range(tune.voices):
        file.tracks.append(track(tune, voice))
    buffer = io.BytesIO()
    file.save(file=buffer)
    return buffer.getvalue()


def track(tune: Tune, voice: int) -> mido.MidiTrack:
    channel = voice + (voice >= DRUMS)
    notes = [note for note in tune.notes if note.voice == voice]
    # At one moment: ends of notes, then words, then beginnings.
    events: list[tuple[int, int, str, Any]] = [(note.start + note.duration, 0, "note_off", note.pitch) for note in notes]
    events += [(note.start, 2, "note_on", note.pitch) for note in notes]
    if voice == 0:
        sung = zip(notes, tune.words, strict=False)
        events += [(note.start, 1, "lyrics", syllable.text + " " * syllable.ends) for note, syllable in sung]
    found = mido.MidiTrack([mido.MetaMessage("track_name", name=f"voice {voice + 1}")])
    now = 0
    for step, _, kind, value in sorted(events, key=lambda event: event[:2]):
        time, now = (step - now) * STEP, step
        if kind == "lyrics":
            found.append(mido.MetaMessage("lyrics", text=value, time=time))
        else:
            found.append(mido.Message(kind, channel=channel, note=value, velocity=LOUDNESS, time=time))
    found.append(mido.MetaMessage("end_of_track", time=(tune.steps - now) * STEP))
    return found
