"""Textbook cases, and random chords against a loop."""

from itertools import combinations, pairwise

import numpy as np

from src.data.music.notes import Note, Symbols
from src.evaluation.metrics.music.pieces import Pieces
from src.evaluation.metrics.music.voice_leading import FIFTH, OCTAVE, chords, crossings, errors, outside, parallels, ranges

SYMBOLS = Symbols.of(range(36, 85))


def progression(*chords: tuple[int, ...]) -> Pieces:
    """Quarter notes, from the highest voice to the lowest; 0 is a rest."""
    notes = [Note(v, pitch, 4 * n, 4) for n, chord in enumerate(chords) for v, pitch in enumerate(chord) if pitch]
    return Pieces(SYMBOLS.encode(notes, 4 * len(chords), len(chords[0]))[None], SYMBOLS.names)


def test_parallels() -> None:
    assert parallels(progression((67, 60), (69, 62)), FIFTH) == 1
    assert parallels(progression((79, 60), (69, 62)), FIFTH) == 0  # from a twelfth to a fifth, but in contrary motion
    assert parallels(progression((67, 48), (69, 62)), FIFTH) == 1  # a twelfth counts as a fifth
    assert parallels(progression((67, 60), (67, 60)), FIFTH) == 0  # repeated
    assert parallels(progression((65, 60), (67, 62)), FIFTH) == 0  # fourths
    assert parallels(progression((66, 60), (69, 62)), FIFTH) == 0  # the first one is diminished
    assert parallels(progression((67, 0), (69, 62)), FIFTH) == 0
    assert parallels(progression((72, 60), (74, 62)), OCTAVE) == 1
    assert parallels(progression((60, 60), (62, 62)), OCTAVE) == 1
    assert parallels(progression((76, 67, 60, 48), (77, 69, 62, 50)), OCTAVE) == 1  # tenor and bass
    assert parallels(progression((76, 67, 60, 48), (77, 69, 62, 50)), FIFTH) == 2  # alto with tenor and with bass


def test_passing_notes_make_chords() -> None:
    notes = [Note(0, 67, 0, 2), Note(0, 69, 2, 2), Note(1, 60, 0, 2), Note(1, 62, 2, 2), Note(2, 48, 0, 4)]
    pieces = Pieces(SYMBOLS.encode(notes, 8, 3)[None], SYMBOLS.names)
    assert np.flatnonzero(chords(pieces)[0]).tolist() == [0, 2]
    assert errors(pieces, ranges(pieces)) == {"parallels": 50, "fifths": 50, "octaves": 0, "crossings": 0, "ranges": 0}


def test_crossings_and_ranges() -> None:
    pieces = progression((72, 76, 48), (72, 67, 0), (60, 60, 69))
    assert crossings(pieces) == 2  # alto above soprano; bass above tenor
    allowed = ranges(progression((72, 67, 48), (60, 60, 43)))
    assert allowed.tolist() == [[60, 72], [60, 67], [43, 48]]
    assert outside(pieces, allowed) == 2
    silent = progression((0, 0), (0, 0))
    assert set(errors(silent, ranges(silent)).values()) == {0}


def test_random_chords() -> None:
    random = np.random.default_rng(0)
    x = random.integers(1, len(SYMBOLS.names), size=(30, 40, 4))
    x[random.random(x.shape) < 0.4] = SYMBOLS.names.index("hold")
    pieces = Pieces(x, SYMBOLS.names)
    found = {FIFTH: 0, OCTAVE: 0}
    for sounds in pieces.sounds.tolist():
        for before, after in pairwise(sounds):
            for a, b in combinations(range(4), 2):
                if min(before[a], before[b], after[a], after[b]) >= 0:
                    up = [after[v] > before[v] for v in (a, b)]
                    down = [after[v] < before[v] for v in (a, b)]
                    for interval in found:
                        perfect = all(abs(chord[a] - chord[b]) % 12 == interval for chord in (before, after))
                        found[interval] += perfect and (all(up) or all(down))
    assert found == {interval: parallels(pieces, interval) for interval in found}
    assert all(found.values())
