"""Against the key of each piece's notes."""

import numpy as np

from src.data.music.keys import Key, estimate_key, to_key
from src.data.music.notes import Note, Symbols
from src.evaluation.metrics.music.pieces import Pieces
from src.evaluation.metrics.music.transposition import in_one_key, signatures

SYMBOLS = Symbols.of(range(40, 90), ends=True)


def tunes(count: int = 40) -> Pieces:
    random, found = np.random.default_rng(0), []
    for _ in range(count):
        scale = np.array([0, 2, 4, 5, 7, 9, 11]) + random.integers(12)
        pitches = 60 + scale[random.integers(7, size=8)]
        x = SYMBOLS.encode([Note(0, int(pitch), 2 * n, 2) for n, pitch in enumerate(pitches)], 17)
        x[16] = SYMBOLS.names.index("<end>")
        found.append(x)
    return Pieces(np.stack(found), SYMBOLS.names)


def test_the_key_of_each_piece() -> None:
    pieces = tunes()
    keys = [estimate_key(SYMBOLS.decode(x)) for x in pieces.x]
    assert {key.mode for key in keys} == {"major", "minor"}
    assert signatures(pieces).tolist() == [to_key(key, Key(0, "major")) for key in keys]


def test_pieces_in_one_key() -> None:
    pieces = tunes()
    moved = in_one_key(pieces)
    assert (signatures(moved) == 0).all()
    assert (moved.length == 16).all()
    np.testing.assert_array_equal(
        moved.sounds - pieces.sounds, np.where(pieces.sounds >= 0, signatures(pieces)[:, None, None], 0)
    )
    np.testing.assert_array_equal(moved.notes.duration, pieces.notes.duration)
    silence = Pieces(np.full((1, 8, 1), SYMBOLS.names.index("rest")), SYMBOLS.names)
    assert signatures(silence).tolist() == [0]
