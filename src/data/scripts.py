"""Simplified and traditional Chinese characters: conversion by OpenCC, which is imported for a text that needs it."""

import re
from collections.abc import Collection
from functools import cache
from typing import Any, NamedTuple

# The CJK ideographs of Unicode's blocks: extension A, unified, compatibility, and the planes 2 and 3.
IDEOGRAPHS = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
HAN = re.compile(f"[{IDEOGRAPHS}]")
CONVERSIONS = {"simplified": "t2s", "traditional": "s2t"}  # OpenCC's names


class Reading(NamedTuple):
    """A text in the characters of a vocabulary, as far as a conversion can do that.

    choices: characters of the typed text that may also be others of the vocabulary -> all that they may be.
    """

    text: str
    choices: dict[str, str]


def convert(text: str, script: str) -> str:
    """A text in a script, "simplified" or "traditional". Where a character may become several, its words decide."""
    return _converter(CONVERSIONS[script]).convert(text) if HAN.search(text) else text


def read(text: str, known: Collection[str]) -> Reading:
    """The text with each ideograph that `known` lacks in the form that it has; an ideograph without one stays.

    OpenCC's conversion of the whole text comes first: it tells 白发 (白髮) from 发生 (發生). It also holds for known characters
    of a text that is in the other script throughout: 黄河 becomes 黃河, though old texts have a few 黄. In other texts known
    characters stay, even where they are also simplified forms of others (后 and 後): traditional texts have both.
    """
    ideographs = tuple(sorted(filter(HAN.fullmatch, known)))
    if not ideographs or not HAN.search(text):
        return Reading(text, {})
    script, forms = _script(ideographs), _forms(ideographs)
    whole = convert(text, script)
    whole = whole if len(whole) == len(text) else text  # else places do not correspond
    other = convert(text, "simplified" if script == "traditional" else "traditional") == text
    found, choices = [], {}
    for character, in_words in zip(text, whole, strict=True):
        possible = forms.get(convert(character, "simplified"), "") if HAN.match(character) else ""
        if character in known:
            found.append(in_words if other and in_words in known else character)
            doubtful = script == "traditional" and in_words != character and in_words in known
        else:
            found.append(in_words if in_words in known else (*possible, character)[0])
            doubtful = len(possible) > 1
        if doubtful:
            choices[character] = possible
    return Reading("".join(found), choices)


@cache
def _script(known: tuple[str, ...]) -> str:
    """The script of most of these characters, of those that differ between the scripts."""
    changed = {script: sum(a != b for a, b in zip(known, _each(known, script), strict=True)) for script in CONVERSIONS}
    return "traditional" if changed["simplified"] > changed["traditional"] else "simplified"


@cache
def _forms(known: tuple[str, ...]) -> dict[str, str]:
    """Simplified character -> the known characters that are forms of it."""
    found: dict[str, str] = {}
    for character, simple in zip(known, _each(known, "simplified"), strict=True):
        found[simple] = found.get(simple, "") + character
    return found


def _each(characters: tuple[str, ...], script: str) -> list[str]:
    """Each character in a script, by itself."""
    return convert("\n".join(characters), script).split("\n")


@cache
def _converter(name: str) -> Any:
    from opencc import OpenCC

    return OpenCC(name)
