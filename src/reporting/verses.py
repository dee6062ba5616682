"""Chinese verse in reports and notebooks: vertical columns, from right to left."""

import re
from collections.abc import Iterable, Iterator
from html import escape
from pathlib import Path

from src.evaluation.metrics.quatrains import HAN, LOST

STYLE = Path(__file__).with_name("verses.css")
HEADING = re.compile(r"(-{3,}) ((?:sample|seed) \d+(?:: source)?) \1")  # see src/modalities/text.py
LINE = re.compile(rf"{HAN}+[^\w{LOST}]*")  # ideographs and the marks after them
LONGEST = 12  # ideographs in a line of verse


def samples_of(text: str) -> Iterator[tuple[str, str]]:
    """(heading, text) of each sample in a file of texts."""
    heading, lines = "", list[str]()
    for line in text.splitlines():
        if found := HEADING.fullmatch(line):
            if heading:
                yield heading, "\n".join(lines).strip()
            heading, lines = found[2], []
        else:
            lines.append(line)
    if heading:
        yield heading, "\n".join(lines).strip()


def is_verse(text: str) -> bool:
    """Whether a text is two or more short lines of ideographs."""
    lines = LINE.findall(text)
    return len(lines) > 1 and "".join(lines) == text and all(len(re.findall(HAN, line)) <= LONGEST for line in lines)


def verses(text: str) -> str:
    """HTML of the samples in a file of texts, if most of them are verse; else empty."""
    samples = list(samples_of(text))
    if 2 * sum(is_verse(sample) for _, sample in samples) <= len(samples):
        return ""
    return poems(samples)


def poems(samples: Iterable[tuple[str, str]]) -> str:
    """HTML of (heading, verse) pairs, beside each other; STYLE has the rules that turn lines into columns."""
    found = (
        f'<div class="poem"><p lang="zh">{"".join(f"<span>{escape(line)}</span>" for line in columns(sample))}</p>'
        f"<small>{escape(heading)}</small></div>"
        for heading, sample in samples
    )
    return f'<div class="poems">{"".join(found)}</div>'


def columns(text: str) -> list[str]:
    """The lines of a verse; a text that is none has one column, which the page breaks."""
    return LINE.findall(text) if is_verse(text) else [text]
