"""The distance sees which characters follow each other."""

import numpy as np
import torch

from src.evaluation.metrics.text_distance import PairFeatures, TextDistance


def walks(count: int, seed: int) -> list[str]:
    """Texts in which each letter is followed by one of the next three of the alphabet."""
    steps = np.random.default_rng(seed).integers(1, 4, size=(count, 20))
    return ["".join(chr(97 + place % 26) for place in row) for row in steps.cumsum(axis=1).tolist()]


def test_unseen_texts_are_near_and_shuffled_ones_far() -> None:
    training, unseen = walks(600, 0), walks(1000, 1)
    shuffled = ["".join(np.random.default_rng(2).permutation(list(text))) for text in unseen]
    distance = TextDistance(training)
    assert distance(training) < 1e-3
    assert distance(unseen) < 0.5
    assert distance(shuffled) > 10 * distance(unseen)
    assert distance([text[::-1] for text in unseen]) > 10 * distance(unseen)


def test_a_text_has_its_features_in_any_company() -> None:
    features = PairFeatures(walks(100, 0))
    texts = ["abcdef", "", "z", "?!", "abcdef"]
    found = features(texts)
    assert found.shape == (5, 24)
    assert torch.allclose(found, torch.cat([features([text]) for text in texts]))
    assert torch.equal(found[0], found[4])
    assert not found[1].any()


def test_a_tiny_alphabet() -> None:
    assert TextDistance(["ab", "ba", "abab"])(["ab", "bb", "a"]) >= 0
