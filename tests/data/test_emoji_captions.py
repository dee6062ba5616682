"""Emoji with captions: what is derived from an archive, the data set, and the real one if it is there."""

import hashlib
import json
from collections import defaultdict
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from src.config.errors import UserError
from src.data.dataset import SPLITS, check_dataset, licence_of
from src.data.emoji import ARCHIVE
from src.data.emoji_archive import CAPTIONS, COUNTS, Captioned, derive_captions, rasterise
from src.data.emoji_captions import EmojiCaptions
from src.data.sources import Derived
from src.data.vocabulary import UNKNOWN
from src.data.words import words
from tests.data.test_emoji import NoSource, circle, write_package

ROOT = Path(__file__).parents[2]


def package(path: Path) -> Path:
    """12 subgroups of four circles; a skin tone, a flag; a subgroup with another's name, and one with another's picture."""
    entries: list[tuple[dict[str, Any], str, str]] = []

    def add(code: str, name: str, subgroup: str, radius: float, group: str = "shapes", **more: str) -> None:
        entry = {"hexcode": code, "group": group, "subgroups": subgroup, "annotation": name, "skintone": "", "tags": ""}
        entries.append(({**entry, "openmoji_tags": "", **more}, circle(radius, "#123456"), circle(radius)))

    for number in range(12):
        for index in range(4):
            radius = 6 + 2 * number + index / 3
            add(f"{number}A{index}", f"Circle no. {number}-{index}", f"circles-{number}", radius, tags="round, shape, circle")
    add("NAME", "circle NO 0 0", "namesakes", 4, group="others", openmoji_tags="odd " * 20)  # of circles-0
    add("TWIN", "ring", "twins", 8)  # its picture is that of circles-1
    add("TONE", "hand", "hands", 9, skintone="3")
    add("FLAG", "flag", "flags", 9, group="flags")
    return write_package(path, entries)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the archive."""
    folder = tmp_path_factory.mktemp("data") / "captions"
    folder.mkdir()
    package(folder / ARCHIVE)
    return folder


@pytest.fixture(scope="module")
def made(folder: Path) -> dict[str, bytes]:
    return derive_captions(folder / ARCHIVE)


def small(folder: Path, made: dict[str, bytes], **settings: Any) -> EmojiCaptions:
    """The data set of the small archive, which lies in the folder."""

    class Small(EmojiCaptions):
        files: ClassVar = {name: hashlib.sha256(data).hexdigest() for name, data in made.items()}

    sha256 = hashlib.sha256((folder / ARCHIVE).read_bytes()).hexdigest()
    sources = [Derived(NoSource(), ARCHIVE, sha256, derive_captions)]
    return Small(folder, folder.with_name("pixels"), size=16, sources=sources, **settings)


def rows(made: dict[str, bytes]) -> list[Captioned]:
    return [Captioned(*json.loads(line)) for line in made[CAPTIONS].decode().splitlines()]


def test_what_is_derived_and_what_is_left_out(made: dict[str, bytes]) -> None:
    counts = json.loads(made[COUNTS])
    left = {"emoji": 52, "skin_tones": 1, "flags": 1, "kept": 50, "groups": 12}
    assert {name: counts[name] for name in left} == left
    assert sum(counts[name] for name in SPLITS) == 50
    assert not {"TONE", "FLAG"} & {one.code for one in rows(made)}


def test_a_subgroup_its_namesakes_and_its_twins_are_in_one_split(made: dict[str, bytes]) -> None:
    places = defaultdict(set)
    same = {"others/namesakes": "shapes/circles-0", "shapes/twins": "shapes/circles-1"}
    for one in rows(made):
        places[same.get(one.subgroup, one.subgroup)].add(one.split)
    assert len(places) == 12
    assert all(len(found) == 1 for found in places.values())
    assert set.union(*places.values()) == set(SPLITS)


def test_samples_are_pictures_with_their_words(folder: Path, made: dict[str, bytes]) -> None:
    data = small(folder, made, length=6)
    data.prepare()
    check_dataset(data)
    vocabulary = data.vocabulary
    assert data.spec.fields["caption"].names == vocabulary.names
    for name in SPLITS:
        own = [one for one in rows(made) if one.split == name]
        batch = data.split(name).batch(np.arange(len(own)))
        assert np.array_equal(batch["x"], [rasterise(one.colour, 16, 3) for one in own])
        for tokens, y, one in zip(batch["caption"], batch["y"], own, strict=True):
            expected = [word for word in ["round", "shape"] if one.subgroup.startswith("shapes/circles")]
            if one.code.startswith("NAME"):
                expected = ["odd"]
            assert tokens.tolist() == vocabulary.encode(" ".join([one.name, *expected])).tolist()  # no word of the name again
            assert data.spec.classes[y] == one.subgroup.split("/")[0]
    assert data.notes() == {"emoji": 52, "skin_tones": 1, "flags": 1, "unseen": 0, "captions_cut": 0}
    assert set(data.hashes()) == {CAPTIONS, "colour.npy"}
    assert "CC BY-SA 4.0" in str(licence_of(data))


def test_captions_can_be_names_alone_and_are_cut(folder: Path, made: dict[str, bytes]) -> None:
    data = small(folder, made, length=3, tags=False)
    assert "round" not in data.vocabulary.names
    assert data.notes()["captions_cut"] == 49  # all but the ring


def test_no_training_word_is_unknown_and_others_are(folder: Path, made: dict[str, bytes]) -> None:
    data = small(folder, made)
    data.prepare()
    unknown = data.vocabulary.names.index(UNKNOWN)
    assert not (data.split("train").batch(np.arange(len(data.split("train"))))["caption"] == unknown).any()
    assert data.vocabulary.unknown("round dodecahedron") == ["dodecahedron"]


def test_words_that_no_training_caption_has_together(folder: Path, made: dict[str, bytes]) -> None:
    whole, part = small(folder, made, unseen=()), small(folder, made, unseen=["round 1", "a ring"])
    whole.prepare()
    texts = part.captions("train")
    left_out = [text for text in whole.captions("train") if {"round", "1"} <= set(text.split())]
    assert left_out
    assert sorted(texts + left_out) == sorted(whole.captions("train"))
    assert part.notes()["unseen"] == len(left_out)
    assert len(part.split("train")) == len(texts)
    assert part.captions("test") == whole.captions("test")


def test_emoji_dealt_out_one_by_one(folder: Path, made: dict[str, bytes]) -> None:
    data = small(folder, made, split_by="emoji", unseen=())
    data.prepare()
    assert sorted(text for name in SPLITS for text in data.captions(name)) == sorted(
        text for name in SPLITS for text in small(folder, made, unseen=()).captions(name)
    )
    assert len(data.split("train")) > 30 > len(data.split("test")) > 0
    with pytest.raises(UserError, match="must be subgroup or emoji"):
        small(folder, made, split_by="group")


def test_the_real_captions() -> None:
    data = EmojiCaptions(ROOT / "data" / "openmoji_captions", ROOT / "data" / "openmoji_captions_pixels", sources=[])
    if not (data.folder.is_dir() and (ROOT / "data" / "openmoji_captions_pixels" / "64").is_dir()):
        pytest.skip("data/openmoji_captions is not there: python -m src.prepare data=emoji_captions gets it (4 MB)")
    data.prepare()
    check_dataset(data)
    assert data.hashes()["colour.npy"] == data.pixels["colour.npy"]
    assert [len(data.split(name)) for name in SPLITS] == [1743, 227, 223]
    assert data.notes() == {"emoji": 4495, "skin_tones": 2030, "flags": 270, "unseen": 2, "captions_cut": 48}
    lines = [Captioned(*json.loads(line)) for line in (data.folder / CAPTIONS).read_text().splitlines()]
    names = [{tuple(words(one.name)) for one in lines if one.split == name} for name in SPLITS]
    assert not names[0] & (names[1] | names[2])
    assert data.vocabulary.unknown("a red apple, Xyzzy") == ["xyzzy"]
