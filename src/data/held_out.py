"""Splits that depend on what the samples are, not on their order: by hash, with related samples on the same side."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import combinations

SHARES = {"test": 0.05, "validation": 0.05}  # the rest is for training


def split_of(text: str) -> str:
    """The split of a text: about 5 % of all texts are in "test", 5 % in "validation", the others in "train"."""
    place = int.from_bytes(digest(text)[:8], "big") / 2**64  # uniform in [0, 1)
    for name, share in SHARES.items():
        if place < share:
            return name
        place -= share
    return "train"


def digest(text: str) -> bytes:
    """SHA-256 of a text: an order by it is a random one."""
    return hashlib.sha256(text.encode()).digest()


def groups(samples: Sequence[Sequence[str]]) -> list[int]:
    """The group of each sample, named by the index of one of its members.

    samples: the parts of each, such as the lines of a poem. Two samples are related if they have at least half of the parts
    of the shorter one in common: versions of one poem often differ in a character. Related samples are in the same group.
    """
    sets, owners = [set(parts) for parts in samples], defaultdict(list)
    for index, parts in enumerate(sets):
        for part in parts:
            owners[part].append(index)
    shared = Counter(pair for members in owners.values() for pair in combinations(members, 2))
    return connected(len(sets), [(a, b) for (a, b), n in shared.items() if 2 * n >= min(len(sets[a]), len(sets[b]))])


def connected(n: int, pairs: Sequence[tuple[int, int]]) -> list[int]:
    """The connected component of each of n nodes, named by the index of one of its members."""
    parent = list(range(n))

    def root(node: int) -> int:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for a, b in pairs:
        parent[root(a)] = root(b)
    return [root(node) for node in range(n)]


def splits(texts: Sequence[str], group: Sequence[int]) -> list[str]:
    """The split of each text; that of a group is the one of its first text in the order of code points."""
    first: dict[int, str] = {}
    for text, number in zip(texts, group, strict=True):
        first[number] = min(first.get(number, text), text)
    found = {number: split_of(text) for number, text in first.items()}
    return [found[number] for number in group]
