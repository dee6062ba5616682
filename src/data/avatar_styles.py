"""The styles of DiceBear that `data=avatars` draws: which of their options are attributes, and how the options are chosen."""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from fnmatch import fnmatch
from importlib.resources import files
from typing import Any, NamedTuple

import numpy as np

from src.config.errors import UserError, nearest
from src.data.moving_mnist import uniform

LICENCE = "CC0 1.0"
BLOND, GINGER, BLACK, BROWN = "#e8c56d", "#d9822b", "#1d1a19", "#5c3a21"
SKIN, DARK_SKIN = ("#f6d3b3", "#e8b48a"), ("#a0623a", "#6b4226")
HAIR, DARK_HAIR = (BLOND, GINGER), (BLACK, BROWN)

Options = dict[str, str | None]  # an option of a style, as DiceBear calls it -> its value; None: the part is left out


class Attribute(NamedTuple):
    """What a face has or has not. option: the one that shows it. has, lacks: patterns of its values.

    Without `lacks`, a face that lacks the attribute is drawn without the part. Values that match neither are not drawn.
    """

    name: str
    option: str
    has: tuple[str, ...] = ("*",)
    lacks: tuple[str, ...] = ()


class Style(NamedTuple):
    """sha256: of its definition in dicebear-styles. combined: so many of the attributes, the first ones, make the class."""

    sha256: str
    combined: int
    attributes: tuple[Attribute, ...]
    fixed: Mapping[str, Any] = {}


def variants(*numbers: int) -> tuple[str, ...]:
    return tuple(f"variant{number:02d}" for number in numbers)


STYLES = {
    "lorelei": Style(
        "78551cff730ca5ad5661305c515ed67ae25177a121ef9cc41e10f630bac8961b",
        5,
        (
            Attribute("glasses", "glassesVariant"),
            Attribute("beard", "beardVariant"),
            Attribute(  # below the chin; hair that ends there is neither
                "long_hair",
                "hairVariant",
                variants(10, 13, 15, 16, 17, 18, 19, 21, 23, 24, 31, 32, 33, 35, 40, 41, 42, 45),
                variants(1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 22, 25, 26, 27, 28, 36, 38, 39, 43, 44, 46, 47),
            ),
            Attribute("light_hair", "hairColor", HAIR, DARK_HAIR),
            Attribute("dark_skin", "skinColor", DARK_SKIN, SKIN),
            Attribute("flowers", "hairAccessoriesVariant"),
            Attribute("happy", "mouthVariant", ("happy*",), ("sad*",)),
        ),
        {"scale": 1.2, "hairAccessoriesColor": "#d6336c", "glassesColor": "#1f4fa0"},
    ),
    "notionists": Style(
        "ca456b0fdbdc352d207e1f63b0dc7811cee737b7526c1a18dd270d410ae6e797",
        3,
        (
            Attribute("glasses", "glassesVariant"),
            Attribute("beard", "beardVariant"),
            Attribute("gesture", "gestureVariant"),
            Attribute("hat", "hairVariant", ("hat",), ("variant*",)),
            Attribute("graphic", "clothesGraphicVariant"),
        ),
    ),
    "open-peeps": Style(
        "1d93f30c5c0be8282225533e2eb3d6b32eb30cba6408f3e04604df093b2b1cf5",
        4,
        (
            Attribute("glasses", "accessoriesVariant", ("glasses*", "sunglasses*")),
            Attribute("beard", "facialHairVariant"),
            Attribute("dark_skin", "skinColor", ("#ae5d29", "#694d3d"), ("#ffdbb4", "#edb98a")),
            Attribute("headwear", "headVariant", ("hat*", "turban", "hijab"), ("short*", "long*", "medium*", "bun*", "afro")),
            Attribute(
                "happy", "expressionVariant", ("smile*", "cheeky", "lovingGrin*"), ("*angry*", "rage", "serious", "fear")
            ),
        ),
        {"headContrastColor": "#b58143"},  # few heads show it
    ),
    "pixel-art": Style(
        "634c8925c165663052d76c768d6edcd750bd11ae932c2c619cbeee1cb24fc9bb",
        5,
        (
            Attribute("glasses", "glassesVariant"),
            Attribute("beard", "beardVariant"),
            Attribute("long_hair", "hairVariant", ("long*",), ("short*",)),
            Attribute("light_hair", "hairColor", ("#cab188", "#a78961"), ("#603a14", "#28150a")),
            Attribute("dark_skin", "skinColor", ("#a26d3d", "#8d5524"), ("#ffdbac", "#f5cfa0")),
            Attribute("hat", "hatVariant"),
            Attribute("jewellery", "accessoriesVariant"),
            Attribute("happy", "mouthVariant", ("happy*",), ("sad*",)),
        ),
    ),
}


def definition(name: str) -> dict[str, Any]:
    """The definition of a style, as dicebear-styles has it; UserError for a style that is not drawn here."""
    try:
        folder = files("dicebear_styles")
    except ModuleNotFoundError as error:
        raise UserError("data=avatars needs dicebear-styles: pip install -c requirements.lock -e .") from error
    file = folder.joinpath(f"{name}.json")
    if name not in STYLES:
        found = json.loads(file.read_bytes())["meta"]["license"]["name"] if file.is_file() else LICENCE
        if found != LICENCE:
            raise UserError(f"data.style={name} has the licence {found}, and only {LICENCE} is drawn: {', '.join(STYLES)}")
        raise UserError(f"data.style={name} is none of those drawn here: {nearest(name, STYLES)}")
    content = file.read_bytes()
    if hashlib.sha256(content).hexdigest() != STYLES[name].sha256:
        raise UserError(f"this dicebear-styles has another {name} than the pinned one: pip install -c requirements.lock -e .")
    return json.loads(content)


def choose(name: str, n: int) -> tuple[np.ndarray, list[Options]]:
    """Attributes int64 [n, K], 0 or 1, and all options of n different faces of a style.

    Face i has the combination i modulo 2^combined of the first attributes, so that all are equally frequent; the others, and
    the options that no attribute decides, are drawn uniformly with a key of i.
    """
    style = STYLES[name]
    decided = {attribute.option: attribute for attribute in style.attributes}
    free = values_of(definition(name), decided)
    parts = sorted(option for option in free if option not in style.fixed)
    attributes, faces, seen = np.zeros((n, len(style.attributes)), np.int64), list[Options](), set[tuple[Any, ...]]()
    attributes[:, : style.combined] = np.arange(n)[:, None] >> np.arange(style.combined) & 1
    draws = uniform(1, np.arange(n), len(style.attributes) + len(parts))  # [n, K + options]
    attributes[:, style.combined :] = draws[:, style.combined : len(style.attributes)] < 0.5
    for index in range(n):
        has = dict(zip(decided, attributes[index], strict=True))
        attempt, numbers = 1, draws[index, len(style.attributes) :]
        while True:
            face: Options = {}
            for option, number in zip(parts, numbers, strict=True):
                values = wanted(free[option], decided[option], has[option]) if option in decided else free[option]
                face[option] = values[int(number * len(values))] if values else None
            if tuple(face.values()) not in seen:
                break
            attempt += 1
            numbers = uniform(attempt, np.array([index]), len(parts))[0]
        seen.add(tuple(face.values()))
        faces.append(face)
    return attributes, faces


def values_of(found: Mapping[str, Any], decided: Collection[str]) -> dict[str, list[str]]:
    """The options of a style with all of their values; none for parts that few faces have and no attribute decides."""
    parts = {
        f"{name}Variant": [] if "probability" in part and f"{name}Variant" not in decided else list(part["variants"])
        for name, part in found["components"].items()
    }
    colours = {f"{name}Color": colour["values"] for name, colour in found["colors"].items()}
    return parts | colours


def wanted(values: Sequence[str], attribute: Attribute, has: int) -> list[str]:
    """The values of an option with which a face has the attribute, or lacks it: those that match a pattern, or are one."""
    patterns = attribute.has if has else attribute.lacks
    matching = [value for value in values if any(fnmatch(value, pattern) for pattern in patterns)]
    return matching or [pattern for pattern in patterns if pattern.startswith("#")]
