"""Four-part chorales in compressed MusicXML as bars of notes."""

import io
import re
import zipfile
from collections import Counter
from fractions import Fraction
from xml.etree import ElementTree

from src.data.music.bars import Bar, Unusable, place, quantise
from src.data.music.keys import FIFTHS, Key
from src.data.music.notes import STEPS, Note, bar_steps
from src.data.music.pieces import Piece

PARTS = 4
LETTERS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}


def read_chorale(data: bytes, title: str, counts: Counter[str]) -> Piece:
    """A chorale, without a split. data: of an .mxl file. counts: gets what was changed. Raises Unusable, see `place`."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        container = archive.read("META-INF/container.xml").decode()
        score = ElementTree.fromstring(archive.read(re.findall(r'full-path="([^"]+)"', container)[0]))
    parts = score.findall("part")
    if len(parts) != PARTS:
        raise Unusable("other_numbers_of_parts")
    if any(score.find(f".//{tag}") is not None for tag in ("chord", "backup", "grace")):
        raise Unusable("several_voices_in_a_part")
    times = {f"{time.findtext('beats')}/{time.findtext('beat-type')}" for time in score.iter("time")}
    keys = {(int(key.findtext("fifths", "0")), key.findtext("mode") or "major") for key in score.iter("key")}
    if len(times) != 1:
        raise Unusable("metre_changes")
    (metre,), (sharps, mode) = times, min(keys)
    notes, lengths = list[Note](), set()
    for voice, part in enumerate(parts):
        exact, steps = place(_bars(part), bar_steps(metre), counts)
        notes += [note._replace(voice=voice) for note in quantise(exact, counts)]
        lengths.add(steps)
    if len(lengths) != 1:
        raise Unusable("irregular_bars")
    notes.sort(key=lambda note: (note.start, note.voice))
    tonic = FIFTHS[mode].index(sharps)
    return Piece("", "bach", title, metre, Key(tonic, mode).name, mode, 0, lengths.pop(), notes)


def _bars(part: ElementTree.Element) -> list[Bar]:
    found, divisions = list[Bar](), 1
    for measure in part.findall("measure"):
        bar = Bar([], any(line.find("repeat") is not None for line in measure.findall("barline")))
        for element in measure:
            divisions = int(element.findtext("divisions") or divisions)
            if element.tag in ("note", "forward"):
                steps = Fraction(int(element.findtext("duration", "0")) * STEPS, divisions)
                goes_on = any(tie.get("type") == "stop" for tie in element.findall("tie"))
                bar.notes.append((_pitch(element.find("pitch")), steps, goes_on))
        if bar.notes:
            found.append(bar)
    return found


def _pitch(pitch: ElementTree.Element | None) -> int | None:
    """MIDI number; None for a rest."""
    if pitch is None:
        return None
    return (
        12 * (int(pitch.findtext("octave", "4")) + 1) + LETTERS[pitch.findtext("step", "C")] + int(pitch.findtext("alter", "0"))
    )
