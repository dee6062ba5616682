"""The scales by counting symbol by symbol, and the baselines by adding up probabilities."""

from itertools import product

import numpy as np
import pytest

from src.data.music.notes import HOLD, Symbols
from src.data.vocabulary import END, PAD
from src.evaluation.metrics.music.likelihood import NoteNGrams, Scored, events, held

ENDS, WINDOWS = Symbols.of([60, 61], ends=True), Symbols.of([60, 61])


def with_ends(count: int, steps: int, voices: int, seed: int = 0) -> Scored:
    """Random pieces; END in all voices of the last step that counts, PAD after it."""
    random = np.random.default_rng(seed)
    x = random.integers(2, len(ENDS.names), size=(count, steps, voices))
    x[:, 0] = ENDS.names.index("rest")
    length = random.integers(2, steps + 1, size=count)
    for row, stop in zip(x, length, strict=True):
        row[stop - 1], row[stop:] = ENDS.names.index(END), ENDS.names.index(PAD)
    return Scored(x, length, ENDS.names)


def test_scales_by_counting() -> None:
    scored = with_ends(30, 9, 2)
    nats, random = 0.0, np.random.default_rng(1)
    voice_steps = frames = onsets = 0
    for piece in scored.x:
        for step in piece:
            if ENDS.names[step[0]] == PAD:
                continue
            frames += 1
            for symbol in step:
                voice_steps += 1
                onsets += ENDS.names[symbol] in ("C4", "C#4")
                nats += random.exponential()
    found = scored.in_units(nats)
    assert found == pytest.approx({"nats": nats / voice_steps, "nats_frame": nats / frames, "nats_onset": nats / onsets})
    assert found["nats_frame"] == pytest.approx(2 * found["nats"])
    melody = scored.voice(0, 1)
    assert (melody.frames, melody.voice_steps) == (frames, frames)
    assert melody.onsets + scored.voice(1).onsets == onsets


def test_events_can_be_read_back() -> None:
    for scored in (
        with_ends(40, 9, 2),
        Scored(np.random.default_rng(0).integers(4, size=(40, 9, 2)), np.full(40, 9), WINDOWS.names),
    ):
        hold = scored.names.index(HOLD)
        for voice in (0, 1):
            found = events(scored, voice)
            for row, length, x, stop in zip(found.x, found.length, scored.x[:, :, voice], scored.length, strict=True):
                read = [symbol for event in row[:length] for symbol in [event // 9] + [hold] * (event % 9)]
                assert read == x[:stop].tolist()


def test_ngrams_spread_over_steps_are_a_distribution() -> None:
    """Over all pieces of three steps the probabilities add up to less than 1: some events would go on after the end."""
    seen = Scored(np.random.default_rng(0).integers(4, size=(50, 3, 1)), np.full(50, 3), WINDOWS.names)
    ngrams = NoteNGrams(seen)
    everything = np.array(list(product(range(4), repeat=3)))[:, :, None]
    p = [np.exp(-ngrams.nats(Scored(x[None], np.array([3]), WINDOWS.names)).sum()) for x in everything]
    assert 0.5 < sum(p) < 1
    together = ngrams.nats(Scored(everything, np.full(64, 3), WINDOWS.names)).sum()
    assert together == pytest.approx(-np.log(p).sum())


def test_ngrams_of_pieces_with_ends() -> None:
    """Probability is spread over all pieces that end, so that short ones have a part of it."""
    seen = with_ends(60, 4, 1)
    ngrams = NoteNGrams(seen)
    total = 0.0
    for length in (1, 2, 3, 4):
        for begin in product(range(2, 6), repeat=length - 1):
            x = np.array([*begin, *[1], *[0] * (4 - length)])[None, :, None]
            total += np.exp(-ngrams.nats(Scored(x, np.array([length]), ENDS.names)).sum())
    assert 0.5 < total < 1


def test_samples_of_ngrams() -> None:
    seen = with_ends(60, 12, 2)
    drawn = NoteNGrams(seen).sample(200)
    assert drawn.shape == (200, 12, 2)
    assert (NoteNGrams(seen).sample(200) == drawn).all()
    ended = (drawn == ENDS.names.index(END)).any(axis=1)
    assert 0.5 < ended.mean() <= 1
    windows = Scored(np.full((20, 8, 1), WINDOWS.names.index("C4")), np.full(20, 8), WINDOWS.names)
    assert (NoteNGrams(windows).sample(300) == WINDOWS.names.index("C4")).mean() > 0.9


def test_holding_the_last_note() -> None:
    seen, scored = with_ends(60, 9, 2), with_ends(10, 9, 2, seed=1)
    expected = np.zeros(2)
    for voice in (0, 1):
        holds = [x[:stop, voice] == ENDS.names.index(HOLD) for x, stop in zip(seen.x, seen.length, strict=True)]
        p = (np.concatenate(holds).sum() + 1) / (len(np.concatenate(holds)) + 2)
        for x, stop in zip(scored.x, scored.length, strict=True):
            for symbol in x[:stop, voice]:
                expected[voice] -= np.log(p if ENDS.names[symbol] == HOLD else (1 - p) / 4)  # REST, two pitches, END
    np.testing.assert_allclose(held(seen, scored), expected)
