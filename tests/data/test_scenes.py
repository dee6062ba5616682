"""Scenes of emoji: pixels against layouts, splits, and what a scene depends on."""

import hashlib
import json
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from src.config.errors import UserError
from src.data import scenes
from src.data.dataset import SPLITS, check_dataset
from src.data.emoji_archive import COUNTS, EMOJI, Emoji, rasterise, to_lines
from src.data.moving_mnist import uniform
from src.data.scenes import DRAWS, FEWEST, GROUPS, MOST, OVERLAP, NamedScenes, Scenes, overlap, scene

ROOT = Path(__file__).parents[2]
SMALL = {"train": 30, "validation": 10, "test": 10}
COLOURS = {"food-drink": "#ff0000", "objects": "#00c000", "symbols": "#0000ff"}  # a square each


def square(colour: str) -> str:
    return f'<svg viewBox="0 0 72 72" xmlns="http://www.w3.org/2000/svg"><path d="M0 0H72V72H0Z" fill="{colour}"/></svg>'


def emoji() -> list[Emoji]:
    """Test has red squares, validation blue ones, training green ones and one of a group that is not used."""
    places = {"food-drink": "test", "symbols": "validation", "objects": "train"}
    found = [Emoji(places[group], 0, f"{group}/a", group, group, square(colour), "") for group, colour in COLOURS.items()]
    return [*found, Emoji("train", 0, "component/hair", "x", "x", square("#000000"), "")]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Scenes:
    folder = tmp_path_factory.mktemp("data") / "openmoji"
    folder.mkdir()
    (folder / EMOJI).write_bytes(to_lines(emoji()))
    (folder / COUNTS).write_text(json.dumps({}))

    class Small(Scenes):
        files: ClassVar = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in (EMOJI, COUNTS)}
        sizes: ClassVar = SMALL

    found = Small(folder, folder.with_name("scenes"), size=32, sources=[])
    found.prepare()
    return found


def test_layouts_say_what_is_where(small: Scenes) -> None:
    check_dataset(small)
    own = {"train": "objects", "validation": "symbols", "test": "food-drink"}
    for name in SPLITS:
        split = small.split(name)
        colour = np.array([int(COLOURS[own[name]][k : k + 2], 16) for k in (1, 3, 5)])[:, None, None]
        for x, layout, length in zip(split["x"], split["layout"], split["layout_length"], strict=True):
            assert FEWEST <= length <= MOST
            assert not layout[length:].any()
            assert {GROUPS[int(row[0])] for row in layout[:length]} == {own[name]}
            covered = np.zeros(x.shape[1:], bool)
            for left, top, width, height in np.round(layout[:length, 1:] * 32).astype(int):
                covered[top : top + height, left : left + width] = True
            assert np.array_equal((x == colour).all(axis=0), covered)
    assert {int(n) for n in small.split("train")["layout_length"]} == {2, 3, 4, 5}


def test_objects_hardly_overlap_and_lie_inside(small: Scenes) -> None:
    for name in SPLITS:
        split = small.split(name)
        for layout, length in zip(split["layout"], split["layout_length"], strict=True):
            boxes = np.round(layout[:length, 1:] * 32).astype(int).tolist()
            assert all(x >= 0 and x + w <= 32 and y >= 0 and y + h <= 32 for x, y, w, h in boxes)
            for k, (x, y, w, _) in enumerate(boxes):
                assert all(overlap(x, y, w, *other[:3]) <= OVERLAP for other in boxes[:k])


def test_a_scene_depends_on_its_index_alone(small: Scenes) -> None:
    pictures = [[rasterise(square(COLOURS["objects"]), side, 4)] for side in (8, 10, 12)]
    numbers = uniform(scenes.STREAMS["train"], np.array([7]), 8 + MOST * DRAWS)[0]
    drawn, boxes = scene(numbers, pictures, [GROUPS.index("objects")], 32)
    assert np.array_equal(small.split("train")["x"][7], drawn)
    assert len(boxes) == small.split("train")["layout_length"][7]


def test_grounds_are_light_and_some_are_graded(small: Scenes) -> None:
    corners = np.stack([x[:, [0, -1], 0] for x in small.split("train")["x"]]).astype(int)  # [N, 3, 2]
    own = np.array([0, 0xC0, 0])[:, None]
    ground = corners[~(corners == own).all(axis=1).any(axis=1)]
    assert ground.min() >= 255 - scenes.LIGHTEST - 1
    assert {bool(same) for same in (ground[..., 0] == ground[..., 1]).all(axis=1)} == {True, False}


def test_named_scenes_have_the_same_objects_in_all_splits(small: Scenes) -> None:
    class Small(NamedScenes):
        files, sizes = small.files, SMALL

    found = Small(small.folder, small.folder.with_name("named"), ["symbols", "food-drink"], size=32, sources=[])
    found.prepare()
    check_dataset(found)
    assert found.spec.fields["layout"].names == ("symbols", "food-drink")
    for name in SPLITS:
        split = found.split(name)
        assert {int(kind) for kind in split["layout"][:, 0, 0]} == {0, 1}
        for x, layout, length in zip(split["x"], split["layout"], split["layout_length"], strict=True):
            kind, left, top, *_ = layout[length - 1]  # in front
            assert f"#{bytes(x[:, round(top * 32), round(left * 32)]).hex()}" == COLOURS[found.objects[int(kind)]]
    unknown = Small(small.folder, small.folder.with_name("unknown"), ["symbols", "food-drunk"], size=32, sources=[])
    with pytest.raises(UserError, match="no emoji has the name 'food-drunk': did you mean food-drink"):
        unknown.prepare()
    with pytest.raises(UserError, match="at least two emoji, each once"):
        Small(small.folder, small.folder, ["symbols", "symbols"])


def test_the_real_scenes() -> None:
    found = Scenes(ROOT / "data" / "openmoji", ROOT / "data" / "scenes")
    if not found._decoded.is_intact():
        pytest.skip("data/scenes is not there: python -m src.prepare data=scenes draws it")
    check_dataset(found)
    assert [len(found.split(name)) for name in Scenes.sizes] == [5000, 500, 500]
    assert {name: digest for name, digest in found.hashes().items() if name != EMOJI} == Scenes.pixels
    assert "CC BY-SA 4.0" in found.licence
