from collections import Counter

from src.data.held_out import connected, groups, split_of, splits


def test_shares_of_the_splits() -> None:
    """Of 20,000 texts 1,000 are expected in each held-out split, with a standard deviation of 31."""
    counts = Counter(split_of(f"text {number}") for number in range(20_000))
    assert abs(counts["test"] - 1000) < 125
    assert abs(counts["validation"] - 1000) < 125
    assert sum(counts.values()) == 20_000


def test_splits_are_pinned() -> None:
    assert [split_of(text) for text in ("白日依山盡", "j", "s")] == ["train", "validation", "test"]


def test_related_samples_are_in_one_group() -> None:
    """Samples 0 and 1 share two of four parts, 1 and 2 two others, 3 shares one with 0."""
    found = groups([list("abcd"), list("cdef"), list("efgh"), list("axyz"), list("xx")])
    assert found[0] == found[1] == found[2]
    assert found[3] == found[4]  # both parts of the last, which are one
    assert found[3] != found[0]
    assert groups([["a"], ["b"], []]) == [0, 1, 2]


def test_a_group_has_one_split_in_any_order() -> None:
    texts = [f"text {number}" for number in range(200)]
    group = [number // 2 for number in range(200)]
    found = splits(texts, group)
    assert found[::2] == found[1::2]
    assert splits(texts[::-1], group[::-1]) == found[::-1]
    assert splits(texts, range(200)) == [split_of(text) for text in texts]


def test_connected_components() -> None:
    found = connected(5, [(0, 1), (3, 4), (1, 4)])
    assert len(set(found)) == 2
    assert found[0] == found[1] == found[3] == found[4]
