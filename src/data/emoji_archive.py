"""What the data sets of emoji use of the npm package openmoji 17.0.0, derived once from its archive."""

import io
import json
import tarfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from src.data.dataset import SPLITS
from src.data.held_out import connected, digest, first_texts, ranked_splits
from src.data.words import words

EMOJI, CAPTIONS, COUNTS = "emoji.jsonl", "captions.jsonl", "counts.json"
TABLE, COLOUR, BLACK = "package/data/openmoji.json", "package/color/svg/", "package/black/svg/"
COMPARED = 64  # pixels: pictures that are equal at this size are the same
HELD_OUT = 0.1  # share of the emoji in "test", and in "validation"
ORDER = ("test", "validation", "train")  # of the lines of a derived file


class Emoji(NamedTuple):
    """A line of the derived file. half: 0 or 1, of unpaired training. code: code points in hex. colour, drawing: SVG."""

    split: str
    half: int
    subgroup: str
    code: str
    name: str
    colour: str
    drawing: str


class Captioned(NamedTuple):
    """A line of the derived file of captions. tags: further words, separated by commas. See Emoji."""

    split: str
    subgroup: str
    code: str
    name: str
    tags: str
    colour: str


def derive(archive: Path) -> dict[str, bytes]:
    """The emoji of the package's archive, one in each line, and counts of what was left out.

    Skin tones, flags and emoji whose two pictures have equal pixels are left out.
    """
    table, files, counts = read_package(archive, (COLOUR, BLACK))
    kept = placed([read_emoji(entry, files) for entry in table], counts)
    return {EMOJI: to_lines(kept), COUNTS: to_json(counts)}


def read_package(archive: Path, folders: tuple[str, ...]) -> tuple[list[dict[str, Any]], dict[str, str], Counter[str]]:
    """The package's table without skin tones and flags; the texts of these folders by path; counts of what was left out."""
    files = {}
    with tarfile.open(archive) as package:
        for member in package:  # in the archive's order: going back would decompress again
            if member.name.startswith((TABLE, *folders)) and (stream := package.extractfile(member)):
                files[member.name] = stream.read().decode()
    counts, found = Counter[str](), []
    for entry in json.loads(files[TABLE]):
        counts["emoji"] += 1
        if entry["skintone"]:
            counts["skin_tones"] += 1
        elif entry["group"] == "flags":
            counts["flags"] += 1
        else:
            found.append(entry)
    return found, files, counts


def subgroup_of(entry: Mapping[str, Any]) -> str:
    return f"{entry['group']}/{entry['subgroups']}"


def read_emoji(entry: Mapping[str, Any], files: Mapping[str, str]) -> Emoji:
    """The emoji of an entry of the package's table, not yet in a split."""
    code = entry["hexcode"]
    pictures = (files[f"{folder}{code}.svg"] for folder in (COLOUR, BLACK))
    return Emoji("", 0, subgroup_of(entry), code, entry["annotation"], *pictures)


def placed(emoji: Iterable[Emoji], counts: Counter[str]) -> list[Emoji]:
    """Emoji with two different pictures, in their splits and halves; the order is "test", "validation", half 0, half 1.

    The emoji of a subgroup, and all that have one of their pictures, are in one split and one half. An order of these groups
    by hash fills the splits (`ranked_splits`), then the halves of the training part.
    """
    kept, members = list[Emoji](), defaultdict[Any, list[int]](list)
    for one in emoji:
        colour, drawing = (rasterise(svg, COMPARED, channels=3) for svg in (one.colour, one.drawing))
        if np.array_equal(colour, drawing):
            counts["identical"] += 1
            continue
        for key in (one.subgroup, ("colour", colour.tobytes()), ("drawing", drawing.tobytes())):
            members[key].append(len(kept))
        kept.append(one)
    group = connected(len(kept), [pair for numbers in members.values() for pair in pairwise(numbers)])
    subgroups = [one.subgroup for one in kept]
    splits = ranked_splits(subgroups, group, HELD_OUT)
    half, filled = dict[int, int](), [0, 0]
    first, sizes = first_texts(subgroups, group), Counter(group)
    training = {number for number, split in zip(group, splits, strict=True) if split == "train"}
    for number in sorted(training, key=lambda number: digest(first[number])):
        half[number] = int(filled[1] < filled[0])
        filled[half[number]] += sizes[number]
    counts.update({"kept": len(kept), "groups": len(sizes)} | {name: splits.count(name) for name in SPLITS})
    rows = [one._replace(split=split, half=half.get(number, 0)) for one, split, number in zip(kept, splits, group, strict=True)]
    return sorted(rows, key=lambda one: (ORDER.index(one.split), one.half, digest(one.code)))


def derive_captions(archive: Path) -> dict[str, bytes]:
    """The emoji of the package's archive with their names and tags, and counts. Skin tones and flags are left out.

    The emoji of a subgroup, all that have the same name and all that have the same picture are in one split (`ranked_splits`);
    the order is "test", "validation", "train".
    """
    table, files, counts = read_package(archive, (COLOUR,))
    found, members = list[Captioned](), defaultdict[Any, list[int]](list)
    for index, entry in enumerate(table):
        tags = ", ".join(filter(None, (entry["tags"], entry["openmoji_tags"])))
        code, name, subgroup = entry["hexcode"], entry["annotation"], subgroup_of(entry)
        found.append(one := Captioned("", subgroup, code, name, tags, files[f"{COLOUR}{code}.svg"]))
        picture = rasterise(one.colour, COMPARED, channels=3)
        for key in (subgroup, ("name", *words(name)), picture.tobytes()):
            members[key].append(index)
    group = connected(len(found), [pair for numbers in members.values() for pair in pairwise(numbers)])
    splits = ranked_splits([one.subgroup for one in found], group, HELD_OUT)
    counts.update({"kept": len(found), "groups": len(set(group))} | {name: splits.count(name) for name in SPLITS})
    rows = [one._replace(split=split) for one, split in zip(found, splits, strict=True)]
    kept = sorted(rows, key=lambda one: (ORDER.index(one.split), digest(one.code)))
    return {CAPTIONS: to_lines(kept), COUNTS: to_json(counts)}


def rasterise(svg: str, size: int, channels: int) -> np.ndarray:
    """An SVG picture, uint8 [channels, size, size]: on white, of one channel grey, or with four transparent (RGBA)."""
    import resvg_py
    from PIL import Image

    ground = None if channels == 4 else "#ffffff"
    data = resvg_py.svg_to_bytes(svg_string=svg, width=size, height=size, background=ground, skip_system_fonts=True)
    with Image.open(io.BytesIO(bytes(data))) as opened:
        picture = np.asarray(opened.convert({1: "L", 3: "RGB", 4: "RGBA"}[channels]))
    return picture.reshape(size, size, channels).transpose(2, 0, 1)


def to_lines(emoji: Iterable[tuple[Any, ...]]) -> bytes:
    """One JSON list in each line."""
    return "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in emoji).encode()


def to_json(counts: Mapping[str, int]) -> bytes:
    return (json.dumps(counts, indent=1) + "\n").encode()
