"""Emoji: what is derived from an archive in the package's format, the data sets, and where data/openmoji is, the real ones."""

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from src.data.dataset import SPLITS, check_dataset, licence_of
from src.data.emoji import ARCHIVE, EmojiPairs, EmojiUnpaired
from src.data.emoji_archive import COUNTS, EMOJI, Emoji, derive, rasterise
from src.data.sources import Derived, SourceError

ROOT = Path(__file__).parents[2]
COLOURS = ["#ff0000", "#00ff00", "#0000ff", "#ffff00"]


def svg(shape: str) -> str:
    return f'<svg viewBox="0 0 72 72" xmlns="http://www.w3.org/2000/svg">{shape}</svg>'


def circle(radius: float, fill: str = "none") -> str:
    return svg(f'<circle cx="36" cy="36" r="{radius}" fill="{fill}" stroke="#000" stroke-width="2"/>')


def package(path: Path) -> Path:
    """12 subgroups of four circles each; a skin tone, a flag, an emoji that is black, and a subgroup with another's drawing."""
    entries: list[tuple[dict[str, Any], str, str]] = []

    def add(code: str, colour: str, drawing: str, subgroup: str, group: str = "shapes", skintone: str = "") -> None:
        entry = {"hexcode": code, "group": group, "subgroups": subgroup, "annotation": f"emoji {code}", "skintone": skintone}
        entries.append((entry, colour, drawing))

    for number in range(12):
        for index, fill in enumerate(COLOURS):
            radius = 6 + 2 * number + index / 3
            add(f"{number}A{index}", circle(radius, fill), circle(radius), f"circles-{number}")
    add("TWIN", circle(6, "#123456"), circle(6), "twins")  # of circles-0
    add("TONE", circle(9, "#123456"), circle(9), "hands", skintone="3")
    add("FLAG", circle(9, "#123456"), circle(9), "flags", group="flags")
    add("SAME", circle(9), circle(9), "symbols")
    return write_package(path, entries)


def write_package(path: Path, entries: list[tuple[dict[str, Any], str, str]]) -> Path:
    """An archive in the package's format. entries: of its table, with their SVG in colour and in black."""
    files = {}
    for entry, *pictures in entries:
        for folder, picture in zip(("color", "black"), pictures, strict=True):
            files[f"package/{folder}/svg/{entry['hexcode']}.svg"] = picture
    table = [entry for entry, *_ in entries]
    with tarfile.open(path, "w:gz", compresslevel=1) as tar:
        for name, text in {**files, "package/data/openmoji.json": json.dumps(table)}.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            tar.addfile(member, io.BytesIO(text.encode()))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the archive."""
    folder = tmp_path_factory.mktemp("data") / "openmoji"
    folder.mkdir()
    package(folder / ARCHIVE)
    return folder


@pytest.fixture(scope="module")
def made(folder: Path) -> dict[str, bytes]:
    return derive(folder / ARCHIVE)


class NoSource:
    def fetch(self, folder: Path, files: Mapping[str, str]) -> None:
        raise SourceError("no network")


@pytest.fixture(scope="module")
def pairs(folder: Path, made: dict[str, bytes]) -> EmojiPairs:
    """Of the small archive, which lies in the folder."""

    class Small(EmojiPairs):
        files: ClassVar = {name: hashlib.sha256(data).hexdigest() for name, data in made.items()}

    sha256 = hashlib.sha256((folder / ARCHIVE).read_bytes()).hexdigest()
    found = Small(folder, folder.with_name("pixels"), size=16, sources=[Derived(NoSource(), ARCHIVE, sha256, derive)])
    found.prepare()
    return found


@pytest.fixture(scope="module")
def unpaired(pairs: EmojiPairs) -> EmojiUnpaired:
    class Small(EmojiUnpaired):
        files: ClassVar = pairs.files

    found = Small(pairs.folder, pairs.folder.with_name("pixels"), size=16, sources=[])
    found.prepare()
    return found


def rows(data: bytes) -> list[Emoji]:
    return [Emoji(*json.loads(line)) for line in data.decode().splitlines()]


def test_what_is_derived_and_what_is_left_out(made: dict[str, bytes]) -> None:
    counts, emoji = json.loads(made[COUNTS]), rows(made[EMOJI])
    left = {"emoji": 52, "skin_tones": 1, "flags": 1, "identical": 1, "kept": 49, "groups": 12}
    assert {name: counts[name] for name in left} == left
    assert sum(counts[name] for name in SPLITS) == 49
    assert not {"TONE", "FLAG", "SAME"} & {one.code for one in emoji}


def test_a_subgroup_and_its_twins_are_in_one_split_and_one_half(made: dict[str, bytes]) -> None:
    places: dict[str, set[tuple[str, int]]] = {}
    for one in rows(made[EMOJI]):
        name = "shapes/circles-0" if one.subgroup == "shapes/twins" else one.subgroup
        places.setdefault(name, set()).add((one.split, one.half))
    assert len(places) == 12
    assert all(len(found) == 1 for found in places.values())
    assert set.union(*places.values()) == {("test", 0), ("validation", 0), ("train", 0), ("train", 1)}


def test_pairs_are_the_pictures_of_one_emoji(pairs: EmojiPairs, made: dict[str, bytes]) -> None:
    check_dataset(pairs)
    emoji = rows(made[EMOJI])
    for name in SPLITS:
        own = [one for one in emoji if one.split == name]
        batch = pairs.split(name).batch(np.arange(len(own)))
        assert np.array_equal(batch["x"], [rasterise(one.colour, 16, 3) for one in own])
        assert np.array_equal(batch["source"], [rasterise(one.drawing, 16, 1) for one in own])
    assert pairs.notes() == {"emoji": 52, "skin_tones": 1, "flags": 1, "identical": 1}
    assert set(pairs.hashes()) == {EMOJI, "colour.npy", "drawing.npy"}
    assert "CC BY-SA 4.0" in str(licence_of(pairs))


def test_unpaired_training_sees_no_pair(unpaired: EmojiUnpaired, pairs: EmojiPairs, made: dict[str, bytes]) -> None:
    check_dataset(unpaired)
    train, emoji = unpaired.split("train"), rows(made[EMOJI])
    halves = [[one for one in emoji if (one.split, one.half) == ("train", half)] for half in (0, 1)]
    batch = train.batch(np.arange(len(train)))
    assert len(train) == 64 * max(map(len, halves))
    assert {x.tobytes() for x in batch["x"]} == {rasterise(one.colour, 16, 3).tobytes() for one in halves[1]}
    assert {x.tobytes() for x in batch["source"]} == {rasterise(one.drawing, 16, 1).tobytes() for one in halves[0]}
    assert unpaired.hashes() == pairs.hashes()
    for name in ("validation", "test"):
        assert np.array_equal(unpaired.split(name)["x"], pairs.split(name)["x"])  # type: ignore[index]


def test_pictures_are_on_white() -> None:
    x = rasterise(circle(20, "#ff0000"), 32, 3)
    assert x.shape == (3, 32, 32)
    assert (x[:, 0, 0].tolist(), x[:, 16, 16].tolist()) == ([255] * 3, [255, 0, 0])
    assert rasterise(circle(20), 32, 1)[0, 16, 16] == 255


def test_the_real_emoji() -> None:
    """Counts and pixels of the whole data set, and that nothing drawn or coloured is in two splits."""
    emoji = EmojiPairs(ROOT / "data" / "openmoji", ROOT / "data" / "openmoji_pixels")
    if not all((emoji.folder / name).is_file() for name in EmojiPairs.files):
        pytest.skip("data/openmoji is not there: python -m src.prepare data=emoji_pairs gets it (4 MB)")
    emoji.prepare()
    check_dataset(emoji)
    assert [len(emoji.split(name)) for name in SPLITS] == [1629, 229, 210]
    notes = emoji.notes()
    assert notes["emoji"] - notes["skin_tones"] - notes["flags"] == 2195
    assert notes["identical"] == 127
    parts = [emoji.split(name).batch(np.arange(len(emoji.split(name)))) for name in SPLITS]
    for field in ("x", "source"):
        sets = [{x.tobytes() for x in part[field]} for part in parts]
        assert sum(map(len, sets)) == len(set.union(*sets))
    unpaired = EmojiUnpaired(emoji.folder, ROOT / "data" / "openmoji_pixels")
    assert len(unpaired.split("train")) == 64 * 822
