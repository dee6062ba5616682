"""Words of songs, as lines of syllables."""

import re
from typing import NamedTuple

from src.config.errors import UserError
from src.data.scripts import HAN

LINE_ENDS = "，。！？；：\n.!?;:"  # a comma of English text ends no line
APOSTROPHES = "'\N{RIGHT SINGLE QUOTATION MARK}"
PIECE = re.compile(rf"({HAN.pattern})|([^\W\d_](?:[^\W_]|[{APOSTROPHES}])*)|(-)|(.)", re.DOTALL)


class Syllable(NamedTuple):
    """What is sung to one note, and whether it begins and ends a word. text: with the punctuation after it."""

    text: str
    begins: bool = True
    ends: bool = True


Line = tuple[Syllable, ...]


def read_lyrics(text: str) -> list[Line]:
    """The lines of a text; UserError if it has no words.

    A Chinese character is one syllable. Other words are one syllable each, or as many as hyphens make of them: "twin-kle". A
    line ends at a line end, at a Chinese punctuation mark or one of .!?;: and, after a Chinese character, at a comma.
    """
    lines: list[list[Syllable]] = [[]]
    joined = False  # by a hyphen to the syllable before
    for match in PIECE.finditer(text):
        han, word, hyphen, other = match.groups()
        line = lines[-1]
        if han or word:
            if joined and word and line:
                line[-1] = line[-1]._replace(ends=False)
            line.append(Syllable(han or word, begins=not (joined and word and line)))
        elif other and not other.isspace() and line and line[-1].text:
            line[-1] = line[-1]._replace(text=line[-1].text + other)
        chinese = bool(line) and bool(HAN.match(line[-1].text))
        if other and line and (other in LINE_ENDS or (other == "," and chinese)):
            lines.append([])
        joined = bool(hyphen and line)
    found = [tuple(line) for line in lines if line]
    if not found:
        raise UserError("lyrics: there is no word to sing: write words, or name a file that has some")
    return found
