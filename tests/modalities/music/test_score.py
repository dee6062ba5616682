"""Scores: spelling, rhythm, accidentals, ties, beams and words, as musicians expect them."""

import json
from concurrent.futures import ThreadPoolExecutor
from xml.etree import ElementTree

import pytest

from src.data.music.keys import Key
from src.data.music.notes import Note
from src.modalities.music.lyrics import read_lyrics
from src.modalities.music.musicxml import musicxml
from src.modalities.music.rhythm import Metre, pieces
from src.modalities.music.score import svg
from src.modalities.music.spelling import key_name, signature, spell
from src.modalities.music.tune import Tune


def score_of(tune: Tune) -> ElementTree.Element:
    return ElementTree.fromstring(musicxml(tune, {"Software": "AIGC Lab"}).partition("\n")[2].partition("\n")[2])


def melody(*notes: tuple[int, int], key: str = "C", metre: str = "4/4") -> Tune:
    """(pitch, steps) one after another, a pitch of 0 is silence."""
    found, start = [], 0
    for pitch, steps in notes:
        found += [Note(0, pitch, start, steps)] if pitch else []
        start += steps
    bar = Metre.of(metre).bar
    return Tune(tuple(found), -(-start // bar) * bar, metre=metre, key=Key.of(key))


@pytest.mark.parametrize(
    ("key", "pitches", "names"),
    [
        ("C", [60, 61, 63, 66, 68, 70, 71], "C4 C#4 Eb4 F#4 G#4 Bb4 B4"),
        ("F", [65, 70, 66, 61, 71], "F4 Bb4 F#4 C#4 B4"),
        ("Am", [68, 66, 70, 63, 61], "G#4 F#4 Bb4 D#4 C#4"),
        ("Eb", [63, 68, 70, 66, 71], "Eb4 Ab4 Bb4 Gb4 B4"),
        ("F#", [66, 71, 65, 60], "F#4 B4 E#4 B#3"),
        ("Gb", [66, 71, 59, 60], "F#4 B4 B3 B#3"),
        ("Dm", [61, 70, 68], "C#4 Bb4 G#4"),
    ],
)
def test_spelling(key: str, pitches: list[int], names: str) -> None:
    spelled = [spell(pitch, Key.of(key)) for pitch in pitches]
    assert " ".join(f"{name}{'#' * alter}{'b' * -alter}{octave}" for name, alter, octave in spelled) == names


def test_every_pitch_in_every_key_sounds_as_written() -> None:
    semitones = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
    for key in (Key(tonic, mode) for mode in ("major", "minor") for tonic in range(12)):
        scale = {0, 2, 4, 5, 7, 9, 11} if key.mode == "major" else {0, 2, 3, 5, 7, 8, 10}
        for pitch in range(128):
            letter, alter, octave = spell(pitch, key)
            assert semitones[letter] + alter + 12 * (octave + 1) == pitch
            assert ((pitch - key.tonic) % 12 in scale) == (signature(key)[letter] == alter)
    assert key_name(Key.of("A#")) == "Bb major"


@pytest.mark.parametrize(
    ("metre", "start", "end", "expected"),
    [
        ("4/4", 0, 16, [16]),
        ("4/4", 0, 6, [6]),
        ("4/4", 12, 20, [4, 4]),  # over the bar line
        ("4/4", 2, 6, [4]),  # a syncopation within half a bar
        ("4/4", 6, 10, [2, 2]),  # over the middle of the bar
        ("4/4", 4, 12, [8]),
        ("4/4", 0, 5, [4, 1]),
        ("4/4", 3, 8, [1, 4]),
        ("4/4", 0, 15, [12, 3]),
        ("3/4", 0, 12, [12]),
        ("3/4", 4, 12, [8]),
        ("6/8", 0, 12, [12]),
        ("6/8", 0, 8, [6, 2]),
        ("6/8", 4, 8, [2, 2]),
        ("6/8", 2, 6, [4]),
        ("9/8", 0, 18, [12, 6]),
        ("2/2", 0, 12, [12]),
        ("12/8", 0, 24, [24]),
    ],
)
def test_notes_show_the_beats(metre: str, start: int, end: int, expected: list[int]) -> None:
    found = [*pieces(start, end, Metre.of(metre))]
    assert [steps for _, steps in found] == expected
    assert found[0][0] == start


def test_a_bar_is_full_in_every_voice() -> None:
    notes = tuple(Note(voice, 60 - 5 * voice, 3 * voice + 1, 20) for voice in range(4))
    for part in score_of(Tune(notes, 32, voices=4)).iter("part"):
        for measure in part.iter("measure"):
            for voice in ("1", "2"):
                found = [note for note in measure.iter("note") if note.findtext("voice") == voice]
                assert sum(int(note.findtext("duration", "0")) for note in found) == 16


def test_ties_and_accidentals_go_over_bar_lines_as_they_should() -> None:
    """F# tied into the next bar needs no second sharp; a new one there does, and F after it a natural."""
    notes = [*score_of(melody((0, 12), (66, 8), (66, 4), (65, 4), (65, 4))).iter("note")]
    assert [note.findtext("accidental") for note in notes if note.find("pitch") is not None] == [
        "sharp", None, "sharp", "natural", None,
    ]  # fmt: skip
    assert [[tie.get("type") for tie in note.iter("tie")] for note in notes[-5:]] == [["start"], ["stop"], [], [], []]


def test_an_accidental_holds_for_both_voices_of_a_staff() -> None:
    notes = (Note(0, 66, 4, 4), Note(0, 67, 0, 4), Note(1, 66, 0, 4), Note(1, 65, 8, 4))
    found = {}
    for note in next(score_of(Tune(notes, 16, voices=4)).iter("part")).iter("note"):
        if note.find("pitch") is not None:
            found.setdefault(note.findtext("voice"), []).append(note.findtext("accidental"))
    assert found == {"1": [None, None], "2": ["sharp", "natural"]}


def test_beams_within_a_beat() -> None:
    def beams(tune: Tune) -> list[str]:
        return ["/".join(beam.text or "" for beam in note.iter("beam")) for note in score_of(tune).iter("note")]

    assert beams(melody((60, 2), (62, 2), (60, 4), (60, 2), (0, 2), (60, 3), (60, 1))) == [
        "begin", "end", "", "", "", "begin", "end/backward hook",
    ]  # fmt: skip
    assert beams(melody((60, 2), (62, 2), (64, 2), (60, 6), metre="6/8")) == ["begin", "continue", "end", ""]
    assert beams(melody((60, 1), (62, 1), (64, 2), (60, 12))) == ["begin/begin", "continue/end", "end", ""]


def test_clefs_key_and_metre() -> None:
    score = score_of(Tune(tuple(Note(v, (72, 65, 53, 41)[v], 0, 12) for v in range(4)), 12, 4, "3/4", key=Key.of("Bb")))
    assert [sign.text for sign in score.iter("sign")] == ["G", "F"]
    assert {fifths.text for fifths in score.iter("fifths")} == {"-2"}
    assert (score.findtext(".//beats"), score.findtext(".//beat-type")) == ("3", "4")
    assert [sign.text for sign in score_of(melody((40, 16))).iter("sign")] == ["F"]
    high = Tune((Note(0, 76, 0, 16), Note(2, 64, 0, 16), Note(3, 60, 0, 16)), 16, voices=4)
    assert [sign.text for sign in score_of(high).iter("sign")] == ["G", "F"]


def test_words_below_the_notes() -> None:
    words = tuple(syllable for line in read_lyrics("Twin-kle star") for syllable in line)
    tune = melody((60, 8), (62, 12), (64, 8), (65, 4))
    score = score_of(Tune(tune.notes, tune.steps, words=words))
    assert [(lyric.findtext("syllabic"), lyric.findtext("text")) for lyric in score.iter("lyric")] == [
        ("begin", "Twin"), ("end", "kle"), ("single", "star"),
    ]  # fmt: skip


def test_an_engraved_score() -> None:
    words = tuple(syllable for line in read_lyrics("春眠不觉晓") for syllable in line)
    tune = Tune(melody(*[(60 + step, 4) for step in (0, 2, 4, 7, 9)]).notes, 32, key=Key.of("C"), words=words)
    text = musicxml(tune, {"model": "<&>"})
    assert svg(text, {"model": "<&>"}) == svg(text, {"model": "<&>"})
    with ThreadPoolExecutor(1) as pool:  # as the page calls it
        found = ElementTree.fromstring(pool.submit(svg, text, {"model": "<&>"}).result())
    assert found.get("viewBox") == f"0 0 {found.get('width')} {found.get('height')}"
    assert json.loads(found.findtext("{*}metadata", "")) == {"model": "<&>"}
    classes = [element.get("class", "").split() for element in found.iter()]
    assert sum("note" in each for each in classes) == 5
    assert sum("measure" in each for each in classes) == 2
    assert all(character in "".join(found.itertext()) for character in "春眠不觉晓")
