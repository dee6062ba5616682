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


def groups(samples: Sequence[Sequence[str]], share: float = 0.5) -> list[int]:
    """The group of each sample, named by the index of one of its members.

    samples: the parts of each, such as the lines of a poem. Two samples are related if they have at least this share of the
    parts of the shorter one in common: versions of one poem often differ in a character. Related samples are in the same group.
    """
    sets, owners = [set(parts) for parts in samples], defaultdict(list)
    for index, parts in enumerate(sets):
        for part in parts:
            owners[part].append(index)
    shared = Counter(pair for members in owners.values() for pair in combinations(members, 2))
    return connected(len(sets), [(a, b) for (a, b), n in shared.items() if n >= share * min(len(sets[a]), len(sets[b]))])


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
    found = {number: split_of(text) for number, text in first_texts(texts, group).items()}
    return [found[number] for number in group]


def ranked_splits(texts: Sequence[str], group: Sequence[int], share: float = 0.05) -> list[str]:
    """As `splits`, but each split gets at least one group, however few there are: three or more.

    share: of "test", and of "validation".

    The groups, in an order by hash, fill "test" and "validation" until each has its share; groups of more than 10 % of the
    texts come last.
    """
    first = first_texts(texts, group)
    sizes = Counter(group)
    order = sorted(first, key=lambda number: (sizes[number] > 0.1 * len(texts), digest(first[number])))
    found: dict[int, str] = {}
    for later, name in zip((2, 1), SHARES, strict=True):  # splits that need a group yet
        filled = 0
        while filled < share * len(texts) and len(order) - len(found) > later:
            number = order[len(found)]
            found[number], filled = name, filled + sizes[number]
    return [found.get(number, "train") for number in group]


def first_texts(texts: Sequence[str], group: Sequence[int]) -> dict[int, str]:
    """The first text of each group in the order of code points."""
    first: dict[int, str] = {}
    for text, number in zip(texts, group, strict=True):
        first[number] = min(first.get(number, text), text)
    return first
