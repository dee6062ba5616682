"""Drawn faces: what the attributes say of the options, what the splits share, which styles are drawn; and the real pixels."""

from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from src.config.errors import UserError
from src.data.avatar_styles import LICENCE, STYLES, choose, definition, wanted
from src.data.avatars import PIXELS, Avatars, combinations, dicebear_style, draw_face
from src.data.dataset import SPLITS, check_dataset
from src.data.emoji_archive import rasterise

ROOT = Path(__file__).parents[2]
SMALL = {"train": 40, "validation": 8, "test": 8}


class Small(Avatars):
    sizes: ClassVar = SMALL


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Avatars:
    """56 faces of 32 x 32 pixels."""
    found = Small(tmp_path_factory.mktemp("avatars"), size=32)
    found.prepare()
    return found


@pytest.mark.parametrize("style", STYLES)
def test_attributes_say_which_options_a_face_has(style: str) -> None:
    attributes, options = choose(style, 128)
    values = definition(style)
    for k, attribute in enumerate(STYLES[style].attributes):
        name = attribute.option.removesuffix("Variant").removesuffix("Color")
        known = list(values["components"][name]["variants"]) if attribute.option.endswith("Variant") else []
        for has, face in zip(attributes[:, k], options, strict=True):
            assert face[attribute.option] in (wanted(known, attribute, has) or [None])
        both = [set(wanted(known, attribute, has)) for has in (0, 1)]
        assert both[1]
        assert not both[0] & both[1]
        assert 0.3 < attributes[:, k].mean() < 0.7
    assert choose(style, 16)[1] == options[:16], "face i depends on i alone"


@pytest.mark.parametrize("style", STYLES)
def test_no_face_comes_twice(style: str) -> None:
    _, options = choose(style, 2000)
    assert len({tuple(face.items()) for face in options}) == 2000


def test_licences_of_the_styles() -> None:
    for style in STYLES:
        assert definition(style)["meta"]["license"]["name"] == LICENCE


@pytest.mark.parametrize(
    ("style", "message"),
    [
        ("lorelai", "data.style=lorelai is none of those drawn here: did you mean lorelei"),
        ("bottts", "data.style=bottts has the licence .*, and only CC0 1.0 is drawn: lorelei, notionists"),
        ("../lorelei", "none of those drawn here"),
    ],
)
def test_other_styles_are_refused_by_name(style: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        Avatars(tmp_path / "cache", style)
    assert not (tmp_path / "cache").exists()


def test_fields_classes_and_splits(faces: Avatars) -> None:
    check_dataset(faces)
    names = faces.spec.fields["attributes"].names
    pictures = []
    for name in SPLITS:
        split = faces.split(name)
        assert len(split) == SMALL[name]
        for x, has, y in zip(split["x"], split["attributes"], split["y"], strict=True):
            words = {word for word, one in zip(names[:5], has, strict=False) if one}
            assert set(faces.spec.classes[y].split()) == (words or {"plain"})
            pictures.append(x.tobytes())
    assert len(set(pictures)) == sum(SMALL.values())
    assert set(faces.hashes()) == {"lorelei.json", "x.npy", "attributes.npy", "y.npy"}


def test_nothing_is_left_for_another_seed_to_choose() -> None:
    from dicebear import Avatar

    for style in STYLES:
        _, (face, *_) = choose(style, 1)
        drawn = draw_face(face, dicebear_style(style), {}, 32)
        options = {option: value for option, value in face.items() if value is not None}
        absent = {f"{name.removesuffix('Variant')}Probability": 0 for name, value in face.items() if value is None}
        present = {f"{name.removesuffix('Variant')}Probability": 100 for name in options if name.endswith("Variant")}
        other = Avatar(dicebear_style(style), {"seed": "another", **absent, **present, **options}).to_string()
        assert np.array_equal(drawn, rasterise(other, 32, channels=3)), style


def test_an_attribute_is_seen() -> None:
    """A face with glasses differs from the same face without them, and only around the eyes."""
    _, (plain, glasses) = choose("lorelei", 2)
    style = dicebear_style("lorelei")
    assert plain["glassesVariant"] is None
    first, second = (draw_face(plain | {"glassesVariant": one}, style, {}, 64) for one in (None, glasses["glassesVariant"]))
    rows = np.flatnonzero((first != second).any(axis=(0, 2)))
    assert len(rows)
    assert rows.min() > 16
    assert rows.max() < 48


def test_names_of_combinations() -> None:
    assert combinations(("glasses", "beard")) == ("plain", "glasses", "beard", "glasses beard")


@pytest.mark.parametrize("style", STYLES)
def test_the_real_faces(style: str) -> None:
    """Their pixels are the pinned ones, if they are drawn: python -m src.prepare data=avatars."""
    faces = Avatars(ROOT / "data" / "avatars", style)
    if not faces._decoded.is_intact():
        pytest.skip(f"data/avatars has no {style}: python -m src.prepare data=avatars data.style={style} draws them")
    check_dataset(faces)
    assert [len(faces.split(name)) for name in Avatars.sizes] == [5000, 500, 500]
    assert faces.hashes()["x.npy"] == PIXELS[style]
    parts = [{x.tobytes() for x in faces.split(name)["x"]} for name in SPLITS]
    assert len(set.union(*parts)) == sum(map(len, parts)) == 6000
