"""Emoji of OpenMoji in colour, with their names and tags as captions, 2,195 pictures. See src.data.emoji for their source."""

from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from src.data.dataset import Arrays
from src.data.emoji import OpenMoji, sources_of
from src.data.emoji_archive import CAPTIONS, COUNTS, Captioned, derive_captions
from src.data.sources import Source
from src.data.spec import Field, Spec
from src.data.words import Words, words


class EmojiCaptions(OpenMoji):
    """Emoji in colour and what they show, in words: OpenMoji without skin tones and flags.

    `x` is the picture on white, uint8 [N, 3, size, size]; `caption` the words of the emoji's name, then those of its tags that
    the name lacks, int64 [N, length]: the vocabulary is that of the training part, see Words; `y` the emoji's group
    ("food-drink"), int64 [N]. The splits have 1,745, 227 and 223 emoji. The hash of its subgroup ("animal-bird") decides the
    split of an emoji; subgroups that have a name or a picture in common are in one split.

    length: most words of a caption; the rest is left out. tags: False for names alone. See OpenMoji for the rest.
    """

    files: ClassVar[dict[str, str]] = {
        CAPTIONS: "1d665931b5214eba99996a7fba1245c1a7c97d4cc9daa896aeb7f8b1368137ac",
        COUNTS: "a7ceceac745be386b2587736f235d907a4b69f7365a56c9c85a0aff3db17dd5c",
    }
    default_sources: ClassVar[tuple[Source, ...]] = sources_of(derive_captions)
    lines = CAPTIONS
    pixels: ClassVar[dict[str, str]] = {"colour.npy": "8128d986f1db2c84ec5253fb7c393e420dee59349a25a7a7bc99177abb7d5acd"}
    noted = ("emoji", "skin_tones", "flags")

    def __init__(
        self,
        folder: str | Path,
        cache: str | Path,
        size: int = 64,
        length: int = 16,
        tags: bool = True,
        name: str = "emoji_captions",
        sources: Sequence[Source] | None = None,
    ) -> None:
        super().__init__(folder, cache, size, name, sources)
        self.length, self.tags = length, tags

    @cached_property
    def spec(self) -> Spec:
        """The vocabulary is read from the derived file, which is got if it is missing."""
        fields = {
            "x": Field("image", (3, self.size, self.size), "uint8"),
            "caption": Field("tokens", (self.length,), "int64", self.vocabulary.names),
            "y": Field("class", (), "int64", tuple(sorted({group_of(one) for one in self._emoji}))),
        }
        return Spec(fields)

    @cached_property
    def vocabulary(self) -> Words:
        """The words of the training captions."""
        return Words.of((self._words(one) for one in self._emoji if one.split == "train"), self.length)

    def notes(self) -> dict[str, int]:
        """Counts: emoji of the package, what was left out of them, and captions that are too long."""
        return super().notes() | {"captions_cut": sum(len(self._words(one)) > self.length for one in self._emoji)}

    def split(self, name: str) -> Arrays:
        """ "train", "validation" or "test"; x is a read-only memory map."""
        first = [one.split for one in self._emoji].index(name)
        emoji = [one for one in self._emoji if one.split == name]
        groups = self.spec.classes
        return Arrays(
            x=self._decoded.array("colour")[first : first + len(emoji)],
            caption=np.stack([self.vocabulary.encode_words(self._words(one)) for one in emoji]),
            y=np.array([groups.index(group_of(one)) for one in emoji], np.int64),
        )

    def _words(self, one: Captioned) -> list[str]:
        name = words(one.name)
        return name + [word for word in dict.fromkeys(words(one.tags)) if word not in name] if self.tags else name

    @cached_property
    def _emoji(self) -> list[Captioned]:
        self._get()
        return [Captioned(*row) for row in self._rows_of_file()]

    def _write(self, folder: Path) -> dict[str, Any]:
        self._draw(folder, "colour", [one.colour for one in self._emoji], channels=3)
        return Counter(one.split for one in self._emoji)


def group_of(one: Captioned) -> str:
    return one.subgroup.partition("/")[0]
