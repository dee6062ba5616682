"""The pinned weights, and how pieces become tokens."""

from pathlib import Path

import numpy as np
import pytest
import torch
from music_data import Walks

from src.config.errors import UserError
from src.data.music.notes import Note, Symbols
from src.evaluation.extractors.tunes import NAME, SHA256, TuneFeatures, tokens
from src.evaluation.metrics.music.pieces import Pieces
from src.evaluation.music_protocol import pieces_of, shuffled_bars
from src.networks.parts_encoder import FIRST

# Four bars in the manner of a reel: degrees of the scale of C, in eighths.
REEL = "1 3 5 3 1 3 5 3 | 6 4 6 8 6 4 6 8 | 1 3 5 3 1 3 5 8 | 7 5 6 7 8 5 3 2"
SCALE = [0, 2, 4, 5, 7, 9, 11, 12]


def reel() -> Pieces:
    degrees = [int(degree) for degree in REEL.replace("|", "").split()]
    symbols = Symbols.of(range(60, 73))
    notes = [Note(0, 60 + SCALE[degree - 1], 2 * n, 2) for n, degree in enumerate(degrees)]
    return Pieces(symbols.encode(notes, 64)[None], symbols.names)


def test_tokens() -> None:
    symbols = Symbols.of(range(24, 110), ends=True)
    notes = [Note(0, 36, 0, 2), Note(0, 36, 2, 1), Note(0, 95, 4, 1), Note(0, 24, 5, 1), Note(0, 109, 6, 1)]
    x = symbols.encode(notes, 20)
    x[16:] = symbols.names.index("<end>")
    found = tokens(Pieces(x[None], symbols.names), bar=8, voice=0)
    assert found.shape == (1, 4, 4)
    held, begun = FIRST + 1, FIRST + 2
    assert found[0, 0].tolist() == [begun, held, begun, FIRST]
    assert found[0, 1].tolist() == [begun + 2 * 59, begun, begun + 2 * 49, FIRST]  # by octaves into the range
    assert (found[0, 2:] == FIRST).all()


def test_a_voice_has_its_windows() -> None:
    data = Walks(4, ends=False)
    pieces = pieces_of(data.split("test")["x"], data.spec)
    assert tokens(pieces, 16, 3).shape == (32, 4, 8)
    assert not torch.equal(tokens(pieces, 16, 3), tokens(pieces, 16, 0))


def test_tunes_have_higher_scores_than_spoiled_ones() -> None:
    features, tune = TuneFeatures(), reel()
    assert (features.name, features.weights_sha256) == (NAME, SHA256)
    random = np.random.default_rng(0)
    steps = Pieces(tune.x[:, random.permutation(64)], tune.names)
    real, spoiled = (features(tokens(pieces, 16, 0))[:, :16].sum().item() for pieces in (tune, steps))
    assert real > spoiled
    assert not torch.equal(features(tokens(shuffled_bars(tune, 16, random), 16, 0)), features(tokens(tune, 16, 0)))


def test_what_is_no_encoder_is_refused(tmp_path: Path) -> None:
    (path := tmp_path / "other.safetensors").write_bytes(b"nothing")
    with pytest.raises(UserError, match="holds no weights of tune-cnn-1: make them"):
        TuneFeatures(path)
