"""Against a search through all pairs of notes."""

import numpy as np

from src.data.music.notes import Note, Symbols
from src.evaluation.metrics.music.motifs import Motifs
from src.evaluation.metrics.music.pieces import Pieces

SYMBOLS = Symbols.of(range(55, 80), ends=True)


def tunes(count: int, seed: int, voices: int = 1) -> Pieces:
    """Random walks of few pitches and durations, so that motifs recur."""
    random, found = np.random.default_rng(seed), []
    for _ in range(count):
        notes = []
        for voice in range(voices):
            start, pitch = 0, 65
            while (duration := int(random.integers(1, 3))) + start < 20:
                pitch += int(random.integers(-1, 2))
                notes.append(Note(voice, pitch, start, duration))
                start += duration
        x = SYMBOLS.encode(notes, 24, voices)
        x[20:] = SYMBOLS.names.index("<end>")
        found.append(x)
    return Pieces(np.stack(found), SYMBOLS.names)


def slow_longest(piece: Pieces, training: Pieces, transposed: bool) -> int:
    """Of one piece."""
    longest = int(len(piece.notes.pitch) > 0)
    if not transposed:
        longest = 0

    def voices(pieces: Pieces) -> list[list[tuple[int, int]]]:
        notes = pieces.notes
        rows = zip(*(part.tolist() for part in (notes.piece, notes.voice, notes.pitch, notes.duration)), strict=True)
        found: dict[tuple[int, int], list[tuple[int, int]]] = {}
        for number, voice, pitch, duration in rows:
            found.setdefault((number, voice), []).append((pitch, duration))
        return list(found.values())

    for own in voices(piece):
        for other in voices(training):
            for i in range(len(own)):
                for j in range(len(other)):
                    k = 0
                    shift = own[i][0] - other[j][0] if transposed else 0
                    while i + k < len(own) and j + k < len(other):
                        (pitch, duration), (known, length) = own[i + k], other[j + k]
                        if pitch - shift != known or (duration != length and not (transposed and k == 0)):
                            break
                        k += 1
                    longest = max(longest, k)
    return longest


def test_the_longest_motif() -> None:
    training, pieces = tunes(8, 0, 2), tunes(6, 1, 2)
    motifs = Motifs(training)
    for transposed in (False, True):
        expected = [slow_longest(pieces[slice(n, n + 1)], training, transposed) for n in range(6)]
        assert motifs.longest(pieces, transposed).tolist() == expected


def test_transposed_copies_are_found() -> None:
    training = tunes(5, 0)
    higher = Pieces(np.where(training.symbols.pitches[training.x] >= 0, training.x + 3, training.x), training.names)
    found = Motifs(training).metrics(higher)
    assert found["copied"] == 1
    assert found["motif"] == len(training.notes.pitch) / 5
    assert found["motif_exact"] < found["motif"]
    assert Motifs(training).metrics(training)["motif_exact"] == found["motif"]


def test_pieces_without_notes() -> None:
    silence = Pieces(np.full((2, 8, 1), SYMBOLS.names.index("rest")), SYMBOLS.names)
    assert Motifs(silence).metrics(tunes(2, 0)) == {"motif": 1, "motif_exact": 0, "copied": 0}
    assert Motifs(tunes(2, 0)).metrics(silence) == {"motif": 0, "motif_exact": 0, "copied": 0}
