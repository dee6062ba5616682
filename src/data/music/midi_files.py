"""Standard MIDI files as notes of one melody, or of up to four voices, on the grid of sixteenths."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import mido

from src.config.errors import UserError
from src.data.music.notes import STEPS, Note

DRUMS = 9  # channel 10, counted from 0
SUSTAIN = 64  # controller of the sustain pedal
JITTER = 0.05  # steps: notes that begin within it of a step are on the grid
POLYPHONIC = 0.05  # a part with a larger share of notes that overlap the next one is no single voice


class MidiPiece(NamedTuple):
    """What `read_midi` finds.

    notes: by voice, those of a voice do not overlap; starts count from the beginning of the file. left_out: counts of what was
    left out or changed, only those above 0. metre: of the file's beginning, "4/4" if it says none. tempo: of its beginning,
    quarter notes per minute, 120 if it says none.
    """

    notes: list[Note]
    left_out: dict[str, int]
    metre: str
    tempo: float


class Held(NamedTuple):
    """A note as the file has it. start, end: in steps, with fractions. part: its track and channel."""

    part: tuple[int, int]
    pitch: int
    start: float
    end: float


def read_midi(path: str | Path, voices: int) -> MidiPiece:
    """A file as one melody (voices=1) or up to `voices` voices, 0 the highest.

    A part is what one track plays on one channel. If there are at most `voices` parts, each with one note at a time, they are
    the voices, in the order of their mean pitch. Otherwise the notes of all parts are taken together: voice 0 gets the highest
    note that begins at each step (the skyline of Uitdenbogerd and Zobel 1999), the last voice the lowest of the others, and
    those between the highest of what is left.

    Notes move to the nearest step, and last one step or more. Drums, the sustain pedal, notes that no voice has, and changes of
    tempo and metre are left out and counted. Raises UserError if the file is broken or has no notes.
    """
    path = Path(path)
    file, counts = _load(path), Counter[str]()
    held = _held(file, counts)
    if not held:
        raise UserError(f"{path}: there are no notes in it{' but those of drums' if counts['drum_notes'] else ''}")
    metres = [
        f"{message.numerator}/{message.denominator}" for message in _in_order(file, "time_signature")
    ]  # fmt: skip
    tempos = [message.tempo for message in _in_order(file, "set_tempo")]
    for name, changes in (("metre_changes", metres), ("tempo_changes", tempos)):
        counts[name] = sum(a != b for a, b in pairwise(changes))
    parts = _parts(held, counts)
    counts["moved_to_the_grid"] = sum(abs(note.start - round(note.start)) > JITTER for note in held)
    if len(parts) <= voices and all(map(_is_single, parts)):
        order = sorted(parts, key=lambda part: -sum(note.pitch for note in part) / len(part))
        found = [note for voice, part in enumerate(order) for note in _voice(part, voice)[0]]
    else:
        found, rest = [], [note for part in parts for note in part]
        for voice in range(voices):
            chosen, rest = _voice(rest, voice, lowest=0 < voice == voices - 1)
            found += chosen
    counts["notes_of_no_voice"] = sum(map(len, parts)) - len(found)
    return MidiPiece(
        sorted(found, key=lambda note: (note.start, note.voice)),
        {name: count for name, count in counts.items() if count},
        metres[0] if metres else "4/4",
        mido.tempo2bpm(tempos[0]) if tempos else 120.0,
    )


def _load(path: Path) -> mido.MidiFile:
    if not path.is_file():
        raise UserError(f"{path}: there is no such file")
    try:
        file = mido.MidiFile(path)
    except PermissionError as error:
        raise UserError(f"cannot read {path} ({error.strerror}): fix its permissions, or move it away") from error
    except Exception as error:  # mido raises nearly anything on damaged bytes
        reason = "it is cut short" if isinstance(error, EOFError) else str(error) or type(error).__name__
        raise UserError(f"{path} is no intact MIDI file: {reason}") from error
    if file.type == 2 or file.ticks_per_beat <= 0:
        kind = "of unrelated tracks (type 2)" if file.type == 2 else "timed in frames (SMPTE), not in quarter notes"
        raise UserError(f"{path} is a MIDI file {kind}: save it as type 0 or 1 with ticks per quarter note")
    return file


def _in_order(file: mido.MidiFile, kind: str) -> list[mido.MetaMessage]:
    """The messages of a kind in all tracks, by time; of those at the same time the last."""
    found = []
    for track in file.tracks:
        tick = 0
        for message in track:
            tick += message.time
            if message.type == kind:
                found.append((tick, message))
    return list(dict(sorted(found, key=lambda pair: pair[0])).values())


def _held(file: mido.MidiFile, counts: Counter[str]) -> list[Held]:
    """All notes but those of drums. A note without end lasts to the end of its track, or to the same key's next note."""
    found = []
    per_step = file.ticks_per_beat / STEPS
    for number, track in enumerate(file.tracks):
        tick, sounding = 0, dict[tuple[int, int], int]()  # channel and pitch -> tick of the beginning
        for message in track:
            tick += message.time
            if message.type == "control_change" and message.control == SUSTAIN:
                counts["pedal_presses"] += message.value >= 64
            if message.type not in ("note_on", "note_off"):
                continue
            begins = message.type == "note_on" and message.velocity > 0
            if message.channel == DRUMS:
                counts["drum_notes"] += begins
                continue
            key = message.channel, message.note
            if key in sounding and (begun := sounding.pop(key)) < tick:
                found.append(Held((number, message.channel), message.note, begun / per_step, tick / per_step))
            if begins:
                sounding[key] = tick
        for (channel, pitch), begun in sounding.items():
            if begun < tick:
                counts["notes_without_end"] += 1
                found.append(Held((number, channel), pitch, begun / per_step, tick / per_step))
    return found


def _parts(held: Iterable[Held], counts: Counter[str]) -> list[list[Note]]:
    """The notes of each part on the grid, each pitch once at a step."""
    parts: defaultdict[tuple[int, int], dict[tuple[int, int], Note]] = defaultdict(dict)
    for note in held:
        start = round(note.start)
        on_grid = Note(0, note.pitch, start, max(1, round(note.end) - start))
        known = parts[note.part].setdefault((start, note.pitch), on_grid)
        counts["doubled_notes"] += known is not on_grid
    return [list(part.values()) for part in parts.values()]


def _is_single(part: Sequence[Note]) -> bool:
    """Whether a part has one note at a time, but for ends of notes that are late by a step or half of the next note."""
    order = sorted(part, key=lambda note: (note.start, -note.pitch))
    overlaps = sum(a.start + a.duration > b.start + max(1, b.duration // 2) or a.start == b.start for a, b in pairwise(order))
    return overlaps <= POLYPHONIC * len(order)


def _voice(notes: Sequence[Note], voice: int, lowest: bool = False) -> tuple[list[Note], list[Note]]:
    """A melody of the notes, and the notes that are not in it.

    At each step the highest note that begins (the lowest one) is the melody's, unless a higher (lower) one sounds on for more
    than a step; the note before it ends there.
    """
    sign = -1 if lowest else 1
    order = sorted(notes, key=lambda note: (note.start, -sign * note.pitch))
    chosen, rest = list[Note](), list[Note]()
    for note in order:
        last = chosen[-1] if chosen else None
        end = last.start + last.duration if last else 0
        if last and (last.start == note.start or (end > note.start + 1 and sign * last.pitch > sign * note.pitch)):
            rest.append(note)
            continue
        if last and end > note.start:
            chosen[-1] = last._replace(duration=note.start - last.start)
        chosen.append(note._replace(voice=voice))
    return chosen, rest
