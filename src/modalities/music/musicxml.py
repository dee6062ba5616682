"""Scores of tunes as MusicXML 4.0: https://www.w3.org/2021/06/musicxml40/."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from src.data.music.notes import STEPS, Note
from src.modalities.music.rhythm import VALUES, Metre, pieces
from src.modalities.music.spelling import signature, spell
from src.modalities.music.tune import Tune

SHORT = 3  # steps of the longest note that has a flag or a beam, a dotted eighth
# A staff whose notes lie lower than this on average has a bass clef: below A3 the first one, below E4 those under it.
BASS = 57, 64
ACCIDENTALS = {-2: "flat-flat", -1: "flat", 0: "natural", 1: "sharp", 2: "double-sharp"}
SYLLABIC = {(True, True): "single", (True, False): "begin", (False, False): "middle", (False, True): "end"}
DOCTYPE = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<!DOCTYPE score-partwise PUBLIC "-//Recordare//DTD MusicXML 4.0 Partwise//EN" "http://www.musicxml.org/dtds/partwise.dtd">\n'
)


def musicxml(tune: Tune, marks: Mapping[str, str], title: str = "") -> str:
    """A score: up to three voices have a staff each, four voices two staves, as chorales are printed.

    The marks are among its identification. Words stand below the notes of the first voice.
    """
    score = Element("score-partwise", version="4.0")
    if title:
        SubElement(SubElement(score, "work"), "work-title").text = title
    if marks:
        about = SubElement(score, "identification")
        SubElement(SubElement(about, "encoding"), "software").text = marks.get("Software", "")
        others = SubElement(about, "miscellaneous")
        for name, value in marks.items():
            SubElement(others, "miscellaneous-field", name=name).text = value
    groups = staves(tune.voices)
    parts = SubElement(score, "part-list")
    bracket = len(groups) > 1
    if bracket:
        _texts(SubElement(parts, "part-group", type="start", number="1"), {"group-symbol": "bracket", "group-barline": "yes"})
    for number, group in enumerate(groups, start=1):
        name = "voice " + ", ".join(str(voice + 1) for voice in group)
        SubElement(SubElement(parts, "score-part", id=f"P{number}"), "part-name", {"print-object": "no"}).text = name
    if bracket:
        SubElement(parts, "part-group", type="stop", number="1")
    for number, group in enumerate(groups, start=1):
        score.append(Part(tune, group).element(f"P{number}", with_tempo=number == 1))
    indent(score, space=" ")
    return DOCTYPE + tostring(score, encoding="unicode") + "\n"


def staves(voices: int) -> list[tuple[int, ...]]:
    """The voices of each staff, from the highest."""
    return [(0, 1), (2, 3)] if voices == 4 else [(voice,) for voice in range(voices)]


class Written(NamedTuple):
    """A note, a tied part of one, or a rest, as it is printed. begin: its step. note: None for a rest."""

    begin: int
    steps: int
    note: Note | None

    @property
    def tied(self) -> bool:
        """Whether it goes on from an earlier one."""
        return self.note is not None and self.begin > self.note.start

    @property
    def ties(self) -> bool:
        """Whether a later one goes on from it."""
        return self.note is not None and self.begin + self.steps < self.note.start + self.note.duration


class Part:
    """One staff: the voices of `group`."""

    def __init__(self, tune: Tune, group: Sequence[int]) -> None:
        self.tune, self.group, self.metre = tune, group, Metre.of(tune.metre)
        self.notes = {voice: [note for note in tune.notes if note.voice == voice] for voice in group}
        sung = zip(self.notes[0], tune.words, strict=False) if 0 in group else ()
        self.words = {note.start: syllable for note, syllable in sung}

    def element(self, name: str, with_tempo: bool) -> Element:
        part = Element("part", id=name)
        for number in range(self.tune.steps // self.metre.bar):
            measure = SubElement(part, "measure", number=str(number + 1))
            if number == 0:
                self.attributes(measure)
                if with_tempo:
                    self.tempo(measure)
            self.fill(measure, number * self.metre.bar)
            if number == self.tune.steps // self.metre.bar - 1:
                SubElement(SubElement(measure, "barline", location="right"), "bar-style").text = "light-heavy"
        return part

    def attributes(self, measure: Element) -> None:
        beats, unit = self.tune.metre.split("/")
        found = SubElement(measure, "attributes")
        _texts(found, {"divisions": STEPS})
        _texts(SubElement(found, "key"), {"fifths": self.tune.key.fifths, "mode": self.tune.key.mode})
        _texts(SubElement(found, "time"), {"beats": beats, "beat-type": unit})
        pitches = [note.pitch for notes in self.notes.values() for note in notes]
        low = bool(pitches) and sum(pitches) / len(pitches) < BASS[self.group[0] > 0]
        _texts(SubElement(found, "clef"), {"sign": "F", "line": 4} if low else {"sign": "G", "line": 2})

    def tempo(self, measure: Element) -> None:
        shown = f"{self.tune.tempo:g}"
        direction = SubElement(measure, "direction", placement="above")
        metronome = SubElement(SubElement(direction, "direction-type"), "metronome")
        _texts(metronome, {"beat-unit": "quarter", "per-minute": shown})
        SubElement(direction, "sound", tempo=shown)

    def fill(self, measure: Element, start: int) -> None:
        """The notes of the bar that begins at a step."""
        written = [self.written(voice, start, start + self.metre.bar) for voice in self.group]
        shown = self.accidentals([part for parts in written for part in parts])
        for number, parts in enumerate(written, start=1):
            if number > 1:
                _texts(SubElement(measure, "backup"), {"duration": self.metre.bar})
            found = [self.note(measure, part, number, shown.get(part, "")) for part in parts]
            for run in beamed(parts, self.metre):
                beam([found[place] for place in run], [parts[place].steps for place in run])

    def written(self, voice: int, start: int, end: int) -> list[Written]:
        """What is written of a voice from step `start` up to `end`, in order; a single rest if it is silent."""
        notes = [note for note in self.notes[voice] if note.start < end and note.start + note.duration > start]
        if not notes:
            return [Written(start, end - start, None)]
        found, now = list[Written](), start
        for note in notes:
            found += [Written(begin, steps, None) for begin, steps in pieces(now, note.start, self.metre)]
            now = min(end, note.start + note.duration)
            found += [Written(begin, steps, note) for begin, steps in pieces(max(start, note.start), now, self.metre)]
        return found + [Written(begin, steps, None) for begin, steps in pieces(now, end, self.metre)]

    def accidentals(self, parts: Sequence[Written]) -> dict[Written, str]:
        """Which notes of a bar have an accidental: it holds for the staff until the bar line, and along ties."""
        alters, shown = dict[tuple[str, int], int](), dict[Written, str]()
        for part in sorted((part for part in parts if part.note), key=lambda part: part.begin):
            assert part.note is not None
            letter, alter, octave = spell(part.note.pitch, self.tune.key)
            if not part.tied and alters.get((letter, octave), signature(self.tune.key)[letter]) != alter:
                shown[part], alters[letter, octave] = ACCIDENTALS[alter], alter
        return shown

    def note(self, measure: Element, part: Written, voice: int, accidental: str) -> Element:
        """A note or a rest, with the elements in the order of the schema."""
        found = SubElement(measure, "note")
        if part.note is None:
            rest = SubElement(found, "rest")
            if whole := part.steps == self.metre.bar:
                rest.set("measure", "yes")
        else:
            whole = False
            letter, alter, octave = spell(part.note.pitch, self.tune.key)
            _texts(SubElement(found, "pitch"), {"step": letter, **({"alter": alter} if alter else {}), "octave": octave})
        _texts(found, {"duration": part.steps})
        ties = [kind for kind, there in (("stop", part.tied), ("start", part.ties)) if there]
        for kind in ties:
            SubElement(found, "tie", type=kind)
        _texts(found, {"voice": voice})
        if not whole:
            value, dots = VALUES[part.steps]
            _texts(found, {"type": value})
            for _ in range(dots):
                SubElement(found, "dot")
        if accidental:
            _texts(found, {"accidental": accidental})
        if len(self.group) > 1 and part.note:
            _texts(found, {"stem": "up" if voice == 1 else "down"})
        if ties:
            notations = SubElement(found, "notations")
            for kind in ties:
                SubElement(notations, "tied", type=kind)
        if part.note and voice == 1 and not part.tied and (syllable := self.words.get(part.note.start)):
            lyric = SubElement(found, "lyric", number="1")
            _texts(lyric, {"syllabic": SYLLABIC[syllable.begins, syllable.ends], "text": syllable.text})
        return found


def beamed(parts: Sequence[Written], metre: Metre) -> list[list[int]]:
    """The places of the notes that share a beam: two or more in one beat that are shorter than a quarter, without a rest."""
    runs, last = list[list[int]](), -1
    for place, part in enumerate(parts):
        beat = part.begin // metre.beat
        if part.note is None or part.steps > SHORT:
            last = -1
            continue
        if last == beat:
            runs[-1].append(place)
        else:
            runs.append([place])
        last = beat
    return [run for run in runs if len(run) > 1]


def beam(notes: Sequence[Element], steps: Sequence[int]) -> None:
    """Add the beams of notes of some steps: one for all, and a second one for sixteenths."""
    for level, short in ((1, [True] * len(notes)), (2, [each == 1 for each in steps])):
        for place, note in enumerate(notes):
            if not short[place]:
                continue
            before, after = place > 0 and short[place - 1], place + 1 < len(notes) and short[place + 1]
            hook = "forward hook" if place == 0 else "backward hook"
            kind = {(False, True): "begin", (True, True): "continue", (True, False): "end"}.get((before, after), hook)
            place_of = next((i for i, child in enumerate(note) if child.tag in ("notations", "lyric")), len(note))
            found = Element("beam", number=str(level))
            found.text = kind
            note.insert(place_of, found)


def _texts(parent: Element, values: Mapping[str, object]) -> None:
    for name, value in values.items():
        SubElement(parent, name).text = str(value)
