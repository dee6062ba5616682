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

EMOJI, COUNTS = "emoji.jsonl", "counts.json"
TABLE, COLOUR, BLACK = "package/data/openmoji.json", "package/color/svg/", "package/black/svg/"
COMPARED = 64  # pixels: pictures that are equal at this size are the same
HELD_OUT = 0.1  # share of the pairs in "test", and in "validation"


class Emoji(NamedTuple):
    """A line of the derived file. half: 0 or 1, of unpaired training. code: code points in hex. colour, drawing: SVG."""

    split: str
    half: int
    subgroup: str
    code: str
    name: str
    colour: str
    drawing: str


def derive(archive: Path) -> dict[str, bytes]:
    """The emoji of the package's archive, one in each line, and counts of what was left out.

    Skin tones, flags and emoji whose two pictures have equal pixels are left out.
    """
    with tarfile.open(archive) as package:
        files = {}
        for member in package:  # in the archive's order: going back would decompress again
            if member.name.startswith((TABLE, COLOUR, BLACK)) and (stream := package.extractfile(member)):
                files[member.name] = stream.read().decode()
    counts, found = Counter[str](), list[Emoji]()
    for entry in json.loads(files[TABLE]):
        counts["emoji"] += 1
        if entry["skintone"]:
            counts["skin_tones"] += 1
        elif entry["group"] == "flags":
            counts["flags"] += 1
        else:
            found.append(read_emoji(entry, files))
    kept = placed(found, counts)
    return {EMOJI: to_lines(kept), COUNTS: (json.dumps(counts, indent=1) + "\n").encode()}


def read_emoji(entry: Mapping[str, Any], files: Mapping[str, str]) -> Emoji:
    """The emoji of an entry of the package's table, not yet in a split."""
    code = entry["hexcode"]
    pictures = (files[f"{folder}{code}.svg"] for folder in (COLOUR, BLACK))
    return Emoji("", 0, f"{entry['group']}/{entry['subgroups']}", code, entry["annotation"], *pictures)


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
    order = ("test", "validation", "train")
    return sorted(rows, key=lambda one: (order.index(one.split), one.half, digest(one.code)))


def rasterise(svg: str, size: int, channels: int) -> np.ndarray:
    """An SVG picture, uint8 [channels, size, size]: on white, of one channel grey, or with four transparent (RGBA)."""
    import resvg_py
    from PIL import Image

    ground = None if channels == 4 else "#ffffff"
    data = resvg_py.svg_to_bytes(svg_string=svg, width=size, height=size, background=ground, skip_system_fonts=True)
    with Image.open(io.BytesIO(bytes(data))) as opened:
        picture = np.asarray(opened.convert({1: "L", 3: "RGB", 4: "RGBA"}[channels]))
    return picture.reshape(size, size, channels).transpose(2, 0, 1)


def to_lines(emoji: Iterable[Emoji]) -> bytes:
    return "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in emoji).encode()
