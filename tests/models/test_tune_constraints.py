"""What a tune for words may be, asked step by step, and what a model of random weights then sings."""

import itertools
from functools import partial

import pytest
import torch

from src.config.errors import UserError
from src.data.music.keys import Key
from src.data.music.notes import bar_steps
from src.models.autoregressive import Autoregressive
from src.models.tune_constraints import SHORTEST, syllables
from src.networks.decoder import decoder
from src.training import rng
from tunes import Walks


def model_of(data: Walks) -> Autoregressive:
    rng.seed_layers(0, -1)
    model = Autoregressive(data.spec, 0, partial(decoder, width=16, depth=1, heads=2), partial(torch.optim.AdamW, lr=1e-2))
    with torch.no_grad():
        model.learner.norm.weight.mul_(2)
    return model


@pytest.mark.parametrize(
    ("metre", "lines", "key"),
    [("4/4", [5, 5], None), ("6/8", [7, 1], Key(9, "minor")), ("5/8", [3, 1, 2], Key(7, "major"))],
)
def test_every_syllable_has_one_note_and_every_line_a_cadence(metre: str, lines: list[int], key: Key | None) -> None:
    data = Walks(73, ends=True)
    rule = syllables(lines, data.spec, metre, key)
    tonic, third = (key.tonic if key else 0), 3 if key and key.mode == "minor" else 4
    for tune in model_of(data).sample(range(12), constraints=[rule]).numpy():
        notes = data.symbols.decode(tune)
        assert data.symbols.length(tune) == sum(rule.sizes)
        start = 0
        for number, (count, size) in enumerate(zip(lines, rule.sizes, strict=True)):
            assert size % bar_steps(metre) == 0
            line = [note for note in notes if start <= note.start < start + size]
            assert len(line) == count
            assert line[0].start == start
            assert all(note.duration >= SHORTEST for note in line)
            assert all(a.start + a.duration == b.start for a, b in itertools.pairwise(line))
            degree = (line[-1].pitch - tonic) % 12
            assert degree == 0 if number == len(lines) - 1 else degree in (0, third, 7)
            assert (line[-1].start - start) % rule.beat == 0
            assert line[-1].duration >= rule.long
            start += size


def test_other_voices_are_free_and_data_without_ends_are_silent_after_the_song() -> None:
    data = Walks(48, voices=2)
    rule = syllables([5], data.spec, "4/4")
    x = model_of(data).sample(range(3), constraints=[rule])
    names = data.symbols.names
    assert rule.sizes == [32]
    assert (x[:, 32, 0] == names.index("rest")).all()
    assert (x[:, 33:, 0] == names.index("hold")).all()
    assert len(x[:, 33:, 1].unique()) > 5


def test_words_that_do_not_fit() -> None:
    data = Walks(48)
    with pytest.raises(UserError, match="take 4 bars and tunes have 3 at most"):
        syllables([5, 5], data.spec, "4/4")
    with pytest.raises(UserError, match="no syllable to sing"):
        syllables([3, 0], data.spec, "4/4")
