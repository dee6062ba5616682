from collections.abc import Sequence
from pathlib import Path

import mido
import pytest

from src.config.errors import UserError
from src.data.music.midi_files import read_midi
from src.data.music.notes import Note

TICKS = 480  # of a quarter note: 120 of a step


def write(path: Path, *tracks: Sequence[tuple[int, int, int]], channel: int = 0, extra: Sequence[mido.Message] = ()) -> Path:
    """A file with notes (pitch, start, end) in ticks; extra: messages at the beginning of the first track."""
    file = mido.MidiFile(ticks_per_beat=TICKS)
    for number, notes in enumerate(tracks):
        track = mido.MidiTrack([] if number else extra)
        events = [(start, "note_on", pitch) for pitch, start, _ in notes] + [
            (end, "note_off", pitch) for pitch, _, end in notes
        ]
        now = sum(message.time for message in track)
        for tick, kind, pitch in sorted(events, key=lambda event: (event[0], event[1] == "note_on")):
            track.append(mido.Message(kind, note=pitch, channel=channel, time=tick - now))
            now = tick
        file.tracks.append(track)
    file.save(path)
    return path


def test_a_melody_moves_to_the_grid(tmp_path: Path) -> None:
    extra = [
        mido.MetaMessage("time_signature", numerator=6, denominator=8),
        mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(90)),
        mido.Message("control_change", control=64, value=100),
        mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(80), time=2),
    ]
    path = write(tmp_path / "a.mid", [(60, 3, 250), (62, 240, 470), (64, 640, 650), (65, 700, 720)], extra=extra)
    piece = read_midi(path, 1)
    assert piece.notes == [Note(0, 60, 0, 2), Note(0, 62, 2, 2), Note(0, 64, 5, 1), Note(0, 65, 6, 1)]
    assert piece.left_out == {"tempo_changes": 1, "pedal_presses": 1, "moved_to_the_grid": 2}
    assert (piece.metre, round(piece.tempo)) == ("6/8", 90)


def test_parts_are_voices_by_their_pitch(tmp_path: Path) -> None:
    low, high = [(48, 0, 480), (50, 480, 960)], [(72, 0, 960)]
    path = write(tmp_path / "a.mid", low, high)
    assert read_midi(path, 2).notes == [Note(0, 72, 0, 8), Note(1, 48, 0, 4), Note(1, 50, 4, 4)]
    assert read_midi(path, 4).notes == read_midi(path, 2).notes
    assert read_midi(path, 1) == ([Note(0, 72, 0, 8)], {"notes_of_no_voice": 2}, "4/4", 120.0)


def test_chords_are_split_from_the_outside(tmp_path: Path) -> None:
    chords = [(pitch, start, start + 480) for start in (0, 480) for pitch in (48, 55, 60, 64, 72)]
    path = write(tmp_path / "a.mid", chords)
    assert [[note.pitch for note in read_midi(path, 3).notes if note.voice == voice] for voice in range(3)] == [
        [72, 72],
        [64, 64],
        [48, 48],
    ]
    assert read_midi(path, 3).left_out == {"notes_of_no_voice": 4}


def test_a_long_high_note_stays_the_melody(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mid", [(72, 0, 960)], [(48, 0, 240), (50, 240, 480), (74, 480, 960)])
    assert read_midi(path, 1).notes == [Note(0, 72, 0, 4), Note(0, 74, 4, 4)]


def test_drums_are_left_out(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mid", [(36, 0, 120)], channel=9)
    with pytest.raises(UserError, match="no notes in it but those of drums"):
        read_midi(path, 1)


def test_notes_without_end(tmp_path: Path) -> None:
    track = mido.MidiTrack([mido.Message("note_on", note=60), mido.MetaMessage("end_of_track", time=960)])
    mido.MidiFile(ticks_per_beat=TICKS, tracks=[track]).save(tmp_path / "a.mid")
    assert read_midi(tmp_path / "a.mid", 1)[:2] == ([Note(0, 60, 0, 8)], {"notes_without_end": 1})


def test_broken_files_are_named(tmp_path: Path) -> None:
    good = write(tmp_path / "good.mid", [(60, 0, 480)]).read_bytes()
    for name, data in {
        "cut.mid": good[:-6],
        "text.mid": b"no music",
        "empty.mid": b"",
        "odd.mid": good[:20] + b"\xff" * 30,
    }.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(UserError, match=f"{name} is no intact MIDI file"):
            read_midi(tmp_path / name, 1)
    for kind, words in ((2, "type 2"), (-6120, "SMPTE")):
        file = mido.MidiFile(type=2 if kind == 2 else 1, ticks_per_beat=TICKS if kind == 2 else kind)
        file.tracks.append(mido.MidiTrack())
        file.save(tmp_path / "kind.mid")
        with pytest.raises(UserError, match=words):
            read_midi(tmp_path / "kind.mid", 1)
    with pytest.raises(UserError, match="no such file"):
        read_midi(tmp_path / "absent.mid", 1)
    with pytest.raises(UserError, match=r"there are no notes in it$"):
        read_midi(write(tmp_path / "silent.mid", []), 1)
