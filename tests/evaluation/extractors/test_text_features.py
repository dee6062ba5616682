"""The features count n-grams within a text."""

import torch

from src.evaluation.extractors.text_features import NGramFeatures
from src.evaluation.metrics.distances import frechet_distance, statistics

TEXTS = ["abcabd", "", "c", "床前明月光", "abcabd"]


def test_a_text_has_its_features_in_any_company() -> None:
    extractor = NGramFeatures()
    found = extractor(TEXTS)
    assert found.shape == (5, 96)
    assert torch.equal(found, torch.cat([extractor([text]) for text in TEXTS]))
    assert torch.equal(found[0], found[4])
    assert not found[1].any()


def test_signed_counts_by_order() -> None:
    once, twice, turned = NGramFeatures()(["ab", "abab", "ba"]).unflatten(1, (3, 32))
    assert torch.equal(once[0], turned[0])  # the same characters
    assert not torch.equal(once[1], turned[1])  # other pairs
    assert once[1].abs().sum() == 1
    assert not once[2].any()  # there are no three characters
    assert torch.allclose(twice[0] * 2, once[0] * 2**0.5 * 2)  # counts doubled, divided by sqrt(4) instead of sqrt(2)


def test_the_distance_sees_the_order_of_characters() -> None:
    random = torch.Generator().manual_seed(0)
    texts = ["".join("abcdefgh"[(start + i) % 8] for i in range(20)) for start in torch.randint(8, (600,), generator=random)]
    shuffled = ["".join(text[i] for i in torch.randperm(20, generator=random)) for text in texts]
    first, second, mixed = (statistics(NGramFeatures()(part)) for part in (texts[:300], texts[300:], shuffled[:300]))
    assert frechet_distance(first, mixed) > 10 * frechet_distance(first, second)
