"""Emoji of OpenMoji: a line drawing in black and the same picture in colour, 2,068 pairs.

They come from the npm package openmoji 17.0.0 (https://openmoji.org, licence CC BY-SA 4.0). Its archive has 4 MB. What these
data sets use is derived from it once, into small files whose SHA-256 are pinned here.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from src.data.clients import NpmArchive, commit_to_dvc
from src.data.dataset import Arrays, Split
from src.data.decoded import Decoded, map_parallel, write_images
from src.data.emoji_archive import COUNTS, EMOJI, Emoji, derive, rasterise
from src.data.sources import Derived, Mirror, Source, get
from src.data.spec import Field, Spec
from src.data.unpaired import Unpaired

PACKAGE, ARCHIVE = "openmoji@17.0.0", "openmoji-17.0.0.tgz"
ARCHIVE_SHA256 = "55ee7d13485dec86e9f38c1f3a645a13382d33ff97c0cd845ee824b0aef45e68"
LICENCE = "CC BY-SA 4.0 (OpenMoji, https://openmoji.org): name the source, and share what you make of it under this licence"
CHANNELS = {"colour": 3, "drawing": 1}
REVISION = 1  # increase it when drawing changes the pixels: older caches are then not used
PINNED_SIZE = 64  # of the published results
PIXELS = {
    "colour.npy": "40ef82b80aa624acb2d315e39990401bed1da15749ef161cdfcd4be73a39ac7d",
    "drawing.npy": "ac1af6a483a06932cc01660ab38871d16b5b42d5eb2e222fbe4fad687e5df997",
}


def sources_of(make: Callable[[Path], Mapping[str, bytes]]) -> tuple[Source, ...]:
    """The official archive, then the registry's package with the same bytes; make: see Derived."""
    mirror = Mirror("https://registry.npmjs.org/openmoji/-/", suffix="")
    return tuple(Derived(place, ARCHIVE, ARCHIVE_SHA256, make) for place in (mirror, NpmArchive(PACKAGE)))


class OpenMoji:
    """What data sets of emoji share: a derived file with one emoji in each line, and its pictures, drawn once for each size.

    folder: for the derived files; prepare() fills it. The archive may be put there by hand where there is no network.
    cache: folder for the pixels. size: side in pixels.
    sources: where prepare() looks for missing files, in this order; None means `default_sources`.

    A subclass says `files`, the derived files and their SHA-256, of which `lines` has the emoji; `pixels`, the SHA-256 of its
    pictures at PINNED_SIZE, empty where they are not pinned; `noted`, the counts that `notes` shows; and makes its pictures in
    `_write`.
    """

    licence = LICENCE
    files: ClassVar[dict[str, str]]
    default_sources: ClassVar[tuple[Source, ...]]
    lines: ClassVar[str]
    pixels: ClassVar[dict[str, str]]
    noted: ClassVar[tuple[str, ...]]

    def __init__(self, folder: str | Path, cache: str | Path, size: int, name: str, sources: Sequence[Source] | None) -> None:
        self.folder, self.size, self.name = Path(folder), size, name
        self.sources = self.default_sources if sources is None else sources
        source = {self.lines: self.files[self.lines], "size": size, "revision": REVISION}
        self._decoded = Decoded(Path(cache) / str(size), source)

    def prepare(self) -> None:
        """Check the derived files and the pixels.

        What is missing is made: files from the archive, which is downloaded (half a minute), pixels from the files (10 s).
        Raises UserError with the remedy.
        """
        self._get()
        if not self._decoded.is_intact():
            self._decoded.make(self._write)
            if self.size == PINNED_SIZE and self.pixels and self._decoded.hashes() != self.pixels:
                print(
                    f"{self._decoded.folder}: these pixels are not those of the published results: another resvg-py or another "
                    "kind of processor draws them (pip install -c requirements.lock -e . has the right resvg-py)"
                )

    def hashes(self) -> dict[str, str]:
        """SHA-256 of the derived file, as pinned here, and of the pixels, which depend on resvg too."""
        return {self.lines: self.files[self.lines]} | self._decoded.hashes()

    def notes(self) -> dict[str, int]:
        """Counts: emoji of the package, and what was left out of them."""
        counts = json.loads((self.folder / COUNTS).read_text())
        return {name: counts[name] for name in self.noted}

    def _write(self, folder: Path) -> dict[str, Any]:
        raise NotImplementedError

    def _get(self) -> None:
        if get(self.folder, self.files, self.sources):
            commit_to_dvc(self.folder)

    def _rows_of_file(self) -> list[Any]:
        """The fields of each line, in order."""
        with open(self.folder / self.lines, encoding="utf-8") as file:
            return [json.loads(line) for line in file]

    def _draw(self, folder: Path, name: str, pictures: list[str], channels: int) -> None:
        """Write SVG pictures to `name`.npy, uint8 [N, channels, size, size]."""
        draw = partial(rasterise, size=self.size, channels=channels)
        drawn = map_parallel(f"{self.folder}: drawing", draw, pictures)
        write_images(folder / f"{name}.npy", drawn, (channels, self.size, self.size))


class EmojiPairs(OpenMoji):
    """Emoji in colour, given their line drawings: OpenMoji without skin tones, flags, and emoji that are black themselves.

    `x` is the picture in colour, uint8 [N, 3, size, size], `source` the line drawing, uint8 [N, 1, size, size], both on white.
    The SVG files are drawn by resvg once for each size. The splits have 1,629, 229 and 210 pairs. The hash of its subgroup
    ("animal-bird", "face-smiling") decides the split of an emoji, because those of a subgroup are alike; subgroups that have a
    picture in common are in one split. See OpenMoji for the arguments.
    """

    files: ClassVar[dict[str, str]] = {
        EMOJI: "e12be0075fd93afb2530ba62a021809fa68a7fe7fbe77a62365cf1ea28442b84",
        COUNTS: "c1f31f3dfdd56409c90961a3d1424710691c69f84244ddc86fd50de1d7fb4c5a",
    }
    default_sources: ClassVar[tuple[Source, ...]] = sources_of(derive)
    lines = EMOJI
    pixels = PIXELS
    noted = ("emoji", "skin_tones", "flags", "identical")
    own_name: ClassVar[str] = "emoji_pairs"  # where none is given

    def __init__(
        self,
        folder: str | Path,
        cache: str | Path,
        size: int = 64,
        name: str | None = None,
        sources: Sequence[Source] | None = None,
    ) -> None:
        super().__init__(folder, cache, size, name or self.own_name, sources)
        fields = {name: Field("image", (channels, size, size), "uint8") for name, channels in CHANNELS.items()}
        self.spec = Spec({"x": fields["colour"], "source": fields["drawing"]})

    def split(self, name: str) -> Split:
        """ "train", "validation" or "test"; x and source are read-only memory maps."""
        return Arrays(**self._pairs(*self._rows(name)))

    def _pairs(self, first: int, last: int) -> dict[str, np.ndarray]:
        names = {"x": "colour", "source": "drawing"}
        return {field: self._decoded.array(name)[first:last] for field, name in names.items()}

    def _rows(self, name: str) -> tuple[int, int]:
        """The first row of a split, and the one after the last. name: also "half 0" or "half 1" of the training part."""
        details = self._decoded.details()
        ends = {"test": details["test"]}
        for part in ("validation", "half 0", "half 1"):
            ends[part] = max(ends.values()) + details[part]
        first = {"test": 0, "validation": ends["test"], "train": ends["validation"], "half 0": ends["validation"]}
        return {**first, "half 1": ends["half 0"]}[name], {**ends, "train": ends["half 1"]}[name]

    def _write(self, folder: Path) -> dict[str, Any]:
        emoji = [Emoji(*row) for row in self._rows_of_file()]
        for name, channels in CHANNELS.items():
            self._draw(folder, name, [getattr(one, name) for one in emoji], channels)
        return Counter(f"half {one.half}" if one.split == "train" else one.split for one in emoji)


class EmojiUnpaired(EmojiPairs):
    """Emoji whose training part has no pairs: the drawings of one half of the subgroups, the colour of the other half.

    The training part is `Unpaired`, from 822 drawings and 807 pictures in colour. Validation and test are the pairs of
    EmojiPairs, so that it can be measured how well the pairing is found. See EmojiPairs for the arguments.
    """

    own_name = "emoji_unpaired"

    def split(self, name: str) -> Split:
        """ "train", which is Unpaired, "validation" or "test"."""
        if name != "train":
            return super().split(name)
        return Unpaired(x=self._pairs(*self._rows("half 1"))["x"], source=self._pairs(*self._rows("half 0"))["source"])
