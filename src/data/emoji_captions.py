"""Emoji of OpenMoji in colour, with their names and tags as captions, 2,195 pictures. See src.data.emoji for their source."""

from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from src.config.errors import UserError
from src.data.dataset import Arrays
from src.data.emoji import OpenMoji, sources_of
from src.data.emoji_archive import CAPTIONS, COUNTS, Captioned, derive_captions
from src.data.held_out import digest
from src.data.sources import Source
from src.data.spec import Field, Spec
from src.data.words import Words, words


class EmojiCaptions(OpenMoji):
    """Emoji in colour and what they show, in words: OpenMoji without skin tones and flags.

    `x` is the picture on white, uint8 [N, 3, size, size]; `caption` the words of the emoji's name, then those of its tags that
    the name lacks, int64 [N, length]: the vocabulary is that of the training part, see Words; `y` the emoji's group
    ("food-drink"), int64 [N]. The splits have 1,743, 227 and 223 emoji. The hash of its subgroup ("animal-bird") decides the
    split of an emoji; subgroups that have a name or a picture in common are in one split.

    length: most words of a caption; the rest is left out. tags: False for names alone. See OpenMoji for the rest.
    unseen: phrases, such as "blue heart": emoji whose caption has all words of one are left out of the training part, so that
    no model sees these words together.
    split_by: "subgroup", or "emoji": the hash of an emoji's own code decides. Near twins of test pictures are then in the
    training part: easier, and of use for a model that judges others.
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
        unseen: Sequence[str] = ("blue heart",),
        split_by: str = "subgroup",
        name: str = "emoji_captions",
        sources: Sequence[Source] | None = None,
    ) -> None:
        super().__init__(folder, cache, size, name, sources)
        if split_by not in ("subgroup", "emoji"):
            raise UserError(f"data.split_by={split_by}: must be subgroup or emoji")
        self.length, self.tags, self.unseen, self.split_by = length, tags, [set(words(phrase)) for phrase in unseen], split_by

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
        return Words.of((self._words(self._emoji[row]) for row in self._rows("train")), self.length)

    def notes(self) -> dict[str, int]:
        """Counts: emoji of the package, what was left out of them, and captions that are too long."""
        cut = sum(len(self._words(one)) > self.length for one in self._emoji)
        return super().notes() | {"unseen": self._splits.count("unseen"), "captions_cut": cut}

    def split(self, name: str) -> Arrays:
        """ "train", "validation" or "test"."""
        rows, groups = self._rows(name), self.spec.classes
        emoji = [self._emoji[row] for row in rows]
        return Arrays(
            x=self._decoded.array("colour")[rows],
            caption=np.stack([self.vocabulary.encode_words(self._words(one)) for one in emoji]),
            y=np.array([groups.index(group_of(one)) for one in emoji], np.int64),
        )

    def captions(self, name: str) -> list[str]:
        """The captions of a split with all their words, also those that no training caption has."""
        return [" ".join(self._words(self._emoji[row])) for row in self._rows(name)]

    def _rows(self, name: str) -> list[int]:
        return [row for row, split in enumerate(self._splits) if split == name]

    @cached_property
    def _splits(self) -> list[str]:
        """The split of each emoji; "unseen" in place of "train" where its caption has a phrase of `unseen`."""
        found = []
        for one in self._emoji:
            split = one.split if self.split_by == "subgroup" else dealt(one.code)
            held_out = split == "train" and any(phrase <= set(self._words(one)) for phrase in self.unseen)
            found.append("unseen" if held_out else split)
        return found

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


def dealt(code: str) -> str:
    """The split of an emoji by the hash of its code: about 10 % "test", 10 % "validation", the rest "train"."""
    number = digest(code)[0]
    return "test" if number < 26 else "validation" if number < 52 else "train"


def group_of(one: Captioned) -> str:
    return one.subgroup.partition("/")[0]
