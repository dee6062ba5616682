"""What the data sets of Chinese poetry use of the npm package chinese-poetry 2.0.1, derived once from its archive."""

import json
import re
import tarfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from src.data.dataset import SPLITS
from src.data.held_out import digest, groups, splits
from src.data.scripts import IDEOGRAPHS

DYNASTIES = ("tang", "song")
CHARACTERS = (5, 7)  # of a line
SONGS, COUNTS = "ci.jsonl", "counts.json"

HAN = re.compile(f"[{IDEOGRAPHS}]+")
MARKS = re.compile("[，。？！；、：]")
MISSING = re.compile("[□○●…�]")  # stand for characters that are lost
NO_PATTERN = "失调名"  # "the name of the tune is lost"


class Row(NamedTuple):
    """A line of a derived file. title: of a song its tune pattern."""

    split: str
    title: str
    author: str
    text: str


def quatrains_file(dynasty: str, characters: int) -> str:
    return f"{dynasty}_{characters}.jsonl"


def derive(archive: Path) -> dict[str, bytes]:
    """The derived files, of the package's archive: one text per line, in the order of SHA-256 of the texts; and counts.

    Quatrains are poems of four lines of five or of seven characters; punctuation becomes "，" and "。". A song keeps its
    punctuation. Texts with lost characters are left out, repeated ones are kept once in each file, with their first title.
    Versions of one poem, which share half of their lines, are in the same split, those in other files too.
    """
    poems: dict[str, list[dict[str, Any]]] = {"tang": [], "song": [], "ci": []}
    pattern = re.compile(r"package/dist/(?:quantangshi/poet|songci)[./](tang|song|ci)\b.*?(\d+)y?\.json")
    found = []
    with tarfile.open(archive) as package:
        for member in package:  # in the archive's order: going back would decompress again
            if (match := pattern.fullmatch(member.name)) and (stream := package.extractfile(member)):
                found.append((match[1], int(match[2]), json.load(stream)))
    for kind, _, entries in sorted(found, key=lambda entry: entry[:2]):
        poems[kind] += entries
    files: dict[str, list[Row]] = {}
    counts: dict[str, dict[str, int]] = {}
    for characters in CHARACTERS:
        kept = {}
        for dynasty in DYNASTIES:
            name = quatrains_file(dynasty, characters)
            kept[name], counts[name] = quatrains(poems[dynasty], characters)
        files |= split_related(kept)
    kept_songs, counts[SONGS] = songs(poems["ci"])
    files |= split_related({SONGS: kept_songs})
    for name, texts in files.items():
        counts[name] |= {"kept": len(texts)} | {split: sum(text.split == split for text in texts) for split in SPLITS}
    return {name: to_lines(texts) for name, texts in files.items()} | {COUNTS: (json.dumps(counts, indent=1) + "\n").encode()}


def quatrains(poems: Iterable[Mapping[str, Any]], characters: int) -> tuple[list[Row], dict[str, int]]:
    """The quatrains among the poems of a dynasty, without their split, and counts of all that was left out or changed."""
    counts = Counter(poems=0, other_form=0, missing_characters=0, repeated=0, punctuation_normalised=0)
    kept: dict[str, Row] = {}
    for poem in poems:
        counts["poems"] += 1
        written = "".join(poem["paragraphs"])
        lines = [line for line in MARKS.split(written) if line]
        if [len(line) for line in lines] != [characters] * 4:
            counts["other_form"] += 1
            continue
        if not all(map(HAN.fullmatch, lines)):
            counts["missing_characters"] += 1
            continue
        text = "".join(line + mark for line, mark in zip(lines, "，。，。", strict=True))
        if text in kept:
            counts["repeated"] += 1
            continue
        counts["punctuation_normalised"] += text != written
        kept[text] = Row("", poem["title"], poem["author"], text)
    return list(kept.values()), dict(counts)


def songs(entries: Iterable[Mapping[str, Any]]) -> tuple[list[Row], dict[str, int]]:
    """The songs, without their split, and counts of all that was left out."""
    counts = Counter(songs=0, missing_characters=0, other_characters=0, no_pattern=0, repeated=0)
    kept: dict[str, Row] = {}
    for song in entries:
        counts["songs"] += 1
        text = "".join(song["paragraphs"])
        if MISSING.search(text):
            counts["missing_characters"] += 1
        elif not HAN.fullmatch(MARKS.sub("", text)):
            counts["other_characters"] += 1
        elif song["rhythmic"] == NO_PATTERN:
            counts["no_pattern"] += 1
        elif text in kept:
            counts["repeated"] += 1
        else:
            kept[text] = Row("", song["rhythmic"], song["author"], text)
    return list(kept.values()), dict(counts)


def split_related(files: Mapping[str, Sequence[Row]]) -> dict[str, list[Row]]:
    """The texts with their splits, related ones in the same, and each file in the order of SHA-256 of the texts."""
    texts = [text for file in files.values() for text in file]
    found = iter(splits([t.text for t in texts], groups([[line for line in MARKS.split(t.text) if line] for t in texts])))
    placed = {name: [text._replace(split=next(found)) for text in file] for name, file in files.items()}
    return {name: sorted(file, key=lambda text: digest(text.text)) for name, file in placed.items()}


def to_lines(texts: Iterable[Row]) -> bytes:
    return "".join(json.dumps(text, ensure_ascii=False) + "\n" for text in texts).encode()
