import numpy as np
import pytest
import torch
from torch import Tensor

from src.data.music.notes import Note, Symbols
from src.data.spec import Field, Spec

SYMBOLS = Symbols.of(range(36, 85))


@pytest.fixture(scope="session")
def spec() -> Spec:
    """Four voices of two bars."""
    return Spec({"x": Field("tokens", (32, 4), "int64", names=SYMBOLS.names, rate=8.0)})


@pytest.fixture(scope="session")
def pieces() -> Tensor:
    """Three of them, in C major, [3, 32, 4]: the last one silent."""
    chords = [(72, 67, 64, 48), (71, 67, 62, 43), (72, 64, 60, 45), (69, 65, 60, 41)]
    notes = [Note(voice, pitch, 8 * place, 8) for place, chord in enumerate(chords) for voice, pitch in enumerate(chord)]
    melody = [note for note in notes if note.voice == 0]
    rows = [SYMBOLS.encode(found, 32, 4) for found in (notes, melody, [])]
    return torch.from_numpy(np.stack(rows))
