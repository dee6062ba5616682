"""Tunes in ABC notation as bars of notes, by music21's tokenizer."""

import re
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, NamedTuple

from src.config.errors import UserError
from src.data.music.bars import Bar, Unusable
from src.data.music.notes import STEPS

METRES = {"C": "4/4", "C|": "2/2"}
METRE = re.compile(r"[1-9]\d?/(1|2|4|8|16)")
MINOR = ("minor", "aeolian", "dorian", "phrygian", "locrian")
MAJOR = ("major", "ionian", "lydian", "mixolydian")
# What the tokenizer would take for notes or bars, or read wrongly: annotations, decorations, slurs.
LEFT_OUT = re.compile(r'"[^"]*"|![^!]*!|(?<!\\)%.*|[HJLMOPRSTuvy~.`]|\((?!\d)|\)|[*$;\\]')
GRACE = re.compile(r"\{[^}]*\}")
INLINE = re.compile(r"\[([A-Za-z]:[^]]*)\]")
FIELD = re.compile(r"[A-Za-z]:|%")


class Tune(NamedTuple):
    """A tune as it is written.

    metre: such as "6/8". key: as its field says, "G" or "A Dorian". sharps: of the signature, flats below 0. mode: "major" or
    "minor". changes: counts of what was left out.
    """

    title: str
    metre: str
    key: str
    sharps: int
    mode: str
    bars: list[Bar]
    changes: Counter[str]


def tunes(text: str) -> Iterator[str]:
    """The text of each tune of a file."""
    yield from re.split(r"(?m)^(?=X:)", text)[1:]


def read_tune(text: str) -> Tune:
    """The tune of an ABC text, without repeats; of two endings the second one.

    Grace notes, chord symbols, and notes of chords but the highest are left out. Raises Unusable, with a reason to count by.
    """
    try:
        from music21 import abcFormat as abc
    except ImportError as error:
        raise UserError(
            "music21, which reads the tunes once, is missing: pip install -c requirements.lock -e '.[music]'"
        ) from error

    cleaned, changes = clean(text)
    # Accidentals hold to the end of the bar, as in print; music21 takes old files for ones in which they do not.
    handler = abc.ABCHandler(abcVersion=(2, 1, 0))
    handler.abcDirectives["propagate-accidentals"] = "octave"
    try:
        handler.tokenize(cleaned)
        handler.tokenProcess()
        fields = [token for token in handler.tokens if isinstance(token, abc.ABCMetadata)]
        if not (signatures := [token for token in fields if token.isKey()]):
            raise Unusable("without_key")
        sharps, mode = signatures[0].getKeySignatureParameters()
    except (abc.ABCHandlerException, abc.ABCTokenException, ValueError, TypeError) as error:
        raise Unusable("not_understood") from error
    if mode not in MINOR + MAJOR:
        raise Unusable("without_key")
    if len({token.data for token in fields if token.tag == "V"}) > 1:
        raise Unusable("several_voices")
    metres = {METRES.get(token.data.strip(), token.data.strip()) for token in fields if token.isMeter()}
    if len(metres) != 1:
        raise Unusable("metre_changes" if metres else "without_metre")
    if not METRE.fullmatch(metre := metres.pop()):
        raise Unusable("without_metre")  # "none", and "FREI" of the Essen collection
    changes["key_changes"] = len({token.data for token in signatures}) - 1
    return Tune(
        next((token.data.strip() for token in fields if token.isTitle()), ""),
        metre,
        signatures[0].data.strip(),
        sharps,
        "minor" if mode in MINOR else "major",
        _bars(handler.tokens, abc, changes),
        changes,
    )


def clean(text: str) -> tuple[str, Counter[str]]:
    """A tune's text with the fields, the notes and the bar lines alone; and how many grace notes there were."""
    lines, graces = list[str](), 0
    for line in re.sub(r"=\n|=20", "", text).replace("=3D", "=").splitlines():  # some files are quoted-printable
        for part in INLINE.sub(r"\n\1\n", line).split("\n"):
            if not FIELD.match(part):
                graces += sum(map(str.isalpha, "".join(GRACE.findall(part))))
                part = LEFT_OUT.sub("", GRACE.sub("", part))
            lines.append(part)
    return "\n".join(lines) + "\n", Counter(grace_notes=graces)


def _bars(tokens: list[Any], abc: Any, changes: Counter[str]) -> list[Bar]:
    """What stands between two bar lines, but for first endings; bars without notes are left out."""
    found, bar = list[Bar](), Bar([], False)
    tied: tuple[str, str] | None = None  # letter and octave of the note before, if it is tied to the next
    first_ending = False

    def close(section: bool) -> None:
        nonlocal bar
        if bar.notes:
            found.append(bar._replace(ends_section=section))
            bar = Bar([], False)
        elif found and section:
            found[-1] = found[-1]._replace(ends_section=True)

    for token in tokens:
        if isinstance(token, abc.ABCBar):
            opens = token.src == "[1"
            changes["first_endings"] += opens
            if not first_ending:
                anacrusis = token.src == "|:" and (not found or found[-1].ends_section)  # of the part to be repeated
                close(token.src not in ("|", ":", "[1", "[2") and not (anacrusis and bar.notes))
            first_ending = opens or (first_ending and token.src == "|")
            continue
        if not isinstance(token, abc.ABCNote) or first_ending:
            continue
        steps = Fraction(token.quarterLength) * STEPS
        if token.activeTuplet is not None:
            steps *= Fraction(token.activeTuplet.tupletMultiplier())
        if steps == 0:
            continue
        pitch, name = _pitch(token, abc, changes)
        if tied and name and token.tie in ("stop", "continue") and (name[0], name[-1]) == tied:
            bar.notes.append((None, steps, True))
        else:
            bar.notes.append((pitch, steps, False))
        tied = (name[0], name[-1]) if name and token.tie in ("start", "continue") else None
    close(True)
    return found


def _pitch(token: Any, abc: Any, changes: Counter[str]) -> tuple[int | None, str]:
    """MIDI number and name, such as "F#5", of a note, or of the highest one of a chord; None and "" for a rest."""
    from music21.pitch import Pitch

    names = [token.pitchName]
    if isinstance(token, abc.ABCChord):
        names = [note.pitchName for note in token.subTokens if isinstance(note, abc.ABCNote) and note.pitchName]
        changes["notes_of_chords"] += max(0, len(names) - 1)
    if token.isRest or not names or names[0] is None:
        return None, ""
    return max((round(Pitch(name).ps), name) for name in names)
