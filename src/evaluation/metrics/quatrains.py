"""The form of Chinese poems: lines, rhyme and tones by the Pingshui rhymes."""

import re
from collections.abc import Iterable, Sequence
from itertools import product

import numpy as np

from src.data.rhymes import rhymes
from src.data.scripts import IDEOGRAPHS
from src.data.vocabulary import LOST

HAN = f"[{IDEOGRAPHS}{LOST}]"  # LOST stands for an ideograph that the vocabulary does not have
LEVEL = "上平聲", "下平聲"  # begin the names of the rhymes with level tone (平); the others are oblique (仄)


def tones(character: str) -> set[bool]:
    """Whether a character's tone is level, for each of its readings; empty for characters that are not in the table.

    LOST has both tones.
    """
    return {True, False} if character == LOST else {name.startswith(LEVEL) for name in rhymes().get(character, ())}


def skeleton(text: str) -> str:
    """A text with "字" in place of each ideograph: line lengths and punctuation."""
    return re.sub(HAN, "字", text)


def form_of(texts: Iterable[str]) -> str | None:
    """The skeleton of quatrains, if all texts have the same one: four lines of equal length, of 5 or 7 ideographs."""
    found = {skeleton(text) for text in texts}
    if len(found) != 1:
        return None
    (form,) = found
    return form if re.fullmatch(r"(字{5}[^字]){4}|(字{7}[^字]){4}", form) else None


def lines_of(text: str) -> list[str]:
    """The runs of ideographs between punctuation, but those of fewer than four."""
    return re.findall(f"{HAN}{{4,}}", text)


def shuffled_lines(text: str, random: np.random.Generator) -> str:
    """A text with its runs of ideographs in another order; what is between them stays where it is."""
    lines = re.findall(f"{HAN}+", text)
    order = iter(random.permutation(len(lines)))
    return re.sub(f"{HAN}+", lambda _: lines[next(order)], text)


def rhymed(lines: Sequence[str]) -> bool:
    """Whether the second and the fourth line end in two different characters of one rhyme."""
    second, fourth = lines[1][-1], lines[3][-1]
    return second != fourth and bool(rhymes().get(second, frozenset()) & rhymes().get(fourth, frozenset()))


def regulated(lines: Sequence[str]) -> bool:
    """Whether the tones of the even characters follow the rules of regulated verse (近體).

    They alternate within a line; the lines of a couplet are opposite (對), and the third line begins as the second (黏). A
    character with readings of both tones fits either; one that is not in the table fits none.
    """
    places = range(1, len(lines[0]) - 1, 2)  # of five characters the second and fourth, of seven the sixth too
    return any(
        all(
            (level ^ bool(row in (1, 2)) ^ bool(number % 2)) in tones(lines[row][place])
            for row, (number, place) in product(range(4), enumerate(places))
        )
        for level in (True, False)
    )


def form_metrics(texts: Sequence[str], form: str) -> dict[str, float]:
    """`structure`, `rhyme` and `tones`: shares of all texts; a text of another form has neither rhyme nor tones."""
    right = [lines_of(text) for text in texts if skeleton(text) == form]
    count = max(len(texts), 1)
    return {
        "structure": len(right) / count,
        "rhyme": sum(map(rhymed, right)) / count,
        "tones": sum(map(regulated, right)) / count,
    }
