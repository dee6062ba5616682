"""On poems whose successors are known: each has a subject, and its lines name their place. And on tunes, random walks."""

from pathlib import Path

import numpy as np
import pytest
import torch
from music_data import walk

from src.data.music.notes import Note
from src.data.music.pieces import Piece
from src.evaluation.extractors.quatrains import QuatrainFeatures, lines_of
from src.evaluation.extractors.tunes import SYMBOLS, TuneFeatures
from src.evaluation.metrics.text_distance import TextDistance
from src.tools.encoder_training import Spoiled, by_bar, by_length, fit, save_encoder, scores, share_found, train_encoder

SUBJECTS = [[chr(0x4E00 + 40 * subject + n) for n in range(40)] for subject in range(6)]


def poems(count: int, seed: int, length: int = 5) -> list[str]:
    """Line k of a poem has characters 10 k .. 10 k + 9 of its subject, in rising order."""
    random = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        subject = SUBJECTS[random.integers(len(SUBJECTS))]
        rows = [np.sort(random.choice(10, length, replace=False)) + 10 * k for k in range(4)]
        found.append("".join("".join(subject[n] for n in row) + mark for row, mark in zip(rows, "，。，。", strict=True)))
    return found


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "new" / "encoder.safetensors"
    model, alphabet = train_encoder(poems(300, 0) + poems(300, 0, 7), steps=60, batch_size=16)
    assert not model.training
    assert share_found(model, by_length(poems(64, 1), alphabet), 16) > 0.1  # 1 / 67 by chance
    save_encoder(model, path, alphabet)
    return path


def test_distances_see_order_and_subjects(weights: Path) -> None:
    distance = TextDistance(poems(300, 0), QuatrainFeatures(weights))
    unseen, random = poems(100, 2), np.random.default_rng(0)
    swapped = ["".join(f"{line}，" for line in random.permutation(lines_of(poem))) for poem in unseen]
    others = [poem[:12] + other[12:] for poem, other in zip(unseen, unseen[1:] + unseen[:1], strict=True)]
    spoiled = ["".join(random.permutation(list(poem))) for poem in unseen]
    floor = distance(unseen)
    assert all(distance(texts) > 2 * floor for texts in (swapped, others, spoiled))
    assert np.mean(distance.mauve(unseen)) > 0.5 > np.mean(distance.mauve(spoiled))


def test_a_text_has_its_features_in_any_company(weights: Path) -> None:
    features = QuatrainFeatures(weights)
    texts = [poems(1, 3)[0], "", "no verse", "乙" * 9, "七言" + poems(1, 3, 7)[0]]
    found = features(texts)
    assert found.shape == (5, 16)
    torch.testing.assert_close(found, torch.cat([features([text]) for text in texts]))
    assert features.name.startswith("quatrain-cnn-1-")  # not the pinned weights
    assert features.alphabet.coverage(["甲" + texts[0]]) == 20 / 21


def test_same_seed_same_bytes(weights: Path, tmp_path: Path) -> None:
    before = torch.random.get_rng_state()

    def digest(seed: int) -> str:
        model, alphabet = train_encoder(poems(80, 0), seed, steps=2, batch_size=4)
        return save_encoder(model, tmp_path / "weights", alphabet)

    assert digest(0) == digest(0) != digest(1)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_spoiled_lines(weights: Path) -> None:
    features = QuatrainFeatures(weights)
    (x,) = by_length(poems(20, 4), features.alphabet)
    assert x.shape == (20, 4, 5)
    lines = x.flatten(0, 1)
    spoil = Spoiled.of([x], len(features.alphabet.characters) + 2)
    spoiled, length = spoil(lines, torch.Generator().manual_seed(0))
    replaced, exchanged, shorter = spoiled.unflatten(0, (3, -1))
    assert length.tolist() == [5] * 160 + [4] * 80
    assert ((replaced != lines).sum(1) <= 1).all()
    assert ((exchanged != lines).sum(1) == 2).all()
    assert torch.equal(exchanged.sort(dim=1).values, lines.sort(dim=1).values)
    assert torch.equal(shorter, torch.cat([lines[:, :3], lines[:, 4:], torch.zeros(80, 1, dtype=torch.int64)], dim=1))
    assert scores(features.encoder, lines, spoil, torch.Generator()).shape == (80, 83)


def tunes(count: int, metre: str, steps: int, voices: int = 1, seed: int = 0) -> list[Piece]:
    random = np.random.default_rng(seed)
    notes = [[note for voice in range(voices) for note in walk(random, steps, voice)] for _ in range(count)]
    return [Piece("train", "walks", "", metre, "C major", "major", 0, steps, part) for part in notes]


def test_tunes_are_cut_into_windows_of_half_bars() -> None:
    found = by_bar(tunes(3, "4/4", 80) + tunes(2, "2/4", 64, 2) + tunes(5, "6/8", 24) + tunes(1, "9/8", 72))
    assert [tuple(part.shape) for part in found] == [(5, 4, 6), (3 * 2 + 2 * 2 * 2, 4, 8)]


def rising(metre: str, bar: int) -> list[Piece]:
    """Each half bar has one pitch, a semitone above the one before: whoever hears two of them knows the next."""
    starts = range(0, 2 * bar, bar // 2)
    notes = [[Note(0, first + number, start, bar // 2) for number, start in enumerate(starts)] for first in range(40, 90)]
    return [Piece("train", "scales", "", metre, "C major", "major", 0, 2 * bar, part) for part in notes]


def test_an_encoder_of_tunes(tmp_path: Path) -> None:
    groups = by_bar(rising("4/4", 16) + rising("6/8", 12))
    model = fit(groups, SYMBOLS, "tunes", steps=60, batch_size=16)
    assert share_found(model, groups, 16) > 0.1  # 1 / 67 by chance
    unseen = by_bar(tunes(20, "6/8", 48))
    save_encoder(model, path := tmp_path / "tunes.safetensors")
    features = TuneFeatures(path)
    assert features(unseen[0]).shape == (40, 32)
    assert features.name.startswith("tune-cnn-1-")
