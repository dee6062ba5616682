"""People's own pictures from two folders: in pairs of equal names, or of two kinds that do not belong together."""

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from src.config.errors import UserError
from src.data.dataset import SPLITS, Arrays, Split
from src.data.folder import Folder, check_splits, split_of_file
from src.data.rows import indexed
from src.data.spec import Field, Spec
from src.data.unpaired import Unpaired

LISTED = 20  # names in a message


class _Sources(Folder):
    """The folder of the sources. Its pictures need not fill splits of their own."""

    def _check_splits(self) -> None:
        pass


class _Targets(_Sources):
    key = "data.path_b"


class Pair(NamedTuple):
    """name: of both files, without suffix. x, source: rows of the images of the two folders."""

    name: str
    x: int
    source: int


class Rows:
    """A split that takes the rows numbers[field] [N] of the array of each field."""

    def __init__(self, arrays: dict[str, np.ndarray], numbers: dict[str, np.ndarray]) -> None:
        self.numbers = numbers
        self._rows = {name: indexed(array) for name, array in arrays.items()}

    def __len__(self) -> int:
        return len(next(iter(self.numbers.values())))

    def batch(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        """See Split."""
        return {name: rows[self.numbers[name][indices]] for name, rows in self._rows.items()}


class TwoFolders:
    """What data of two folders of pictures share: `source` from one, `x` from the other, uint8 [N, channels, size, size].

    path: folder of the sources. path_b: folder of the targets. cache: folder for decoded images. size: side in pixels.
    channels, source_channels: of targets and sources, 1 (grey) or 3. max_broken: allowed share of damaged files of each folder.
    See Folder for what is read of a folder, and how.
    """

    def __init__(
        self,
        path: str | Path,
        path_b: str | Path,
        cache: str | Path,
        size: int = 64,
        channels: int = 3,
        source_channels: int = 3,
        max_broken: float = 0.05,
        name: str = "pairs",
    ) -> None:
        self.name = name
        self.sources = _Sources(path, cache, size, source_channels, max_broken)
        self.targets = _Targets(path_b, cache, size, channels, max_broken)
        fields = {"x": channels, "source": source_channels}
        self.spec = Spec({field: Field("image", (count, size, size), "uint8") for field, count in fields.items()})

    def prepare(self) -> None:
        """Decode the pictures of both folders, or check the decoded ones; raises UserError with the remedy."""
        for folder in (self.sources, self.targets):
            folder.prepare()

    def hashes(self) -> dict[str, str]:
        """SHA-256 of the arrays of images."""
        return {"source": self.sources.hashes()["images.npy"], "x": self.targets.hashes()["images.npy"]}

    def split(self, name: str) -> Split:
        """ "train", "validation" or "test"."""
        raise NotImplementedError


class ImagePairs(TwoFolders):
    """Pictures of two folders in pairs: those whose names, relative to their folders and without suffix, are equal.

    The hash of a pair's name decides its split, about 90, 5 and 5 %; folders train, val and test at the top of both are the
    splits. Files without a partner are listed and left out. See TwoFolders for the arguments.
    """

    def prepare(self) -> None:
        """As TwoFolders; says which files have no partner."""
        super().prepare()
        self.__dict__.pop("_pairs", None)  # of the folders as they were before
        for folder, other, alone in zip((self.sources, self.targets), (self.targets, self.sources), self._alone(), strict=True):
            if alone:
                more = f" and {len(alone) - LISTED:,} more" if len(alone) > LISTED else ""
                print(f"{folder.path}: {len(alone):,} without a partner in {other.path}: {', '.join(alone[:LISTED])}{more}")
        if not any(self._pairs.values()):
            raise UserError(
                f"data.path={self.sources.path} and data.path_b={self.targets.path} have no two pictures of one name: name "
                "partners alike (a/cat.png and b/cat.jpg), or take data=unpaired"
            )
        place = f"data.path={self.sources.path} and data.path_b={self.targets.path}"
        check_splits(place, "pairs", {name: len(pairs) for name, pairs in self._pairs.items()})

    def hashes(self) -> dict[str, str]:
        """As TwoFolders, and of the pairs of each split."""
        return {**super().hashes(), "pairs": hashlib.sha256(json.dumps(self._pairs).encode()).hexdigest()}

    def notes(self) -> dict[str, int]:
        """Counts: pictures of each folder without a partner."""
        sources, targets = self._alone()
        return {"sources_without_target": len(sources), "targets_without_source": len(targets)}

    def split(self, name: str) -> Rows:
        """ "train", "validation" or "test"."""
        pairs = self._pairs[name]
        numbers = {field: np.array([getattr(pair, field) for pair in pairs], dtype=np.int64) for field in ("x", "source")}
        return Rows({"x": self.targets.images(), "source": self.sources.images()}, numbers)

    @cached_property
    def _pairs(self) -> dict[str, list[Pair]]:
        """The pairs of each split, in the order of their names."""
        sources, targets = by_stem(self.sources), by_stem(self.targets)
        given = self.sources.given()
        found: dict[str, list[Pair]] = {name: [] for name in SPLITS}
        for stem in sorted(sources.keys() & targets.keys()):
            split = split_of_file(stem, hashlib.sha256(stem.encode("utf-8", "surrogateescape")).hexdigest(), given)
            found[split].append(Pair(stem, targets[stem], sources[stem]))
        return found

    def _alone(self) -> tuple[list[str], list[str]]:
        """The sources without a target and the targets without a source, by name without suffix."""
        sources, targets = by_stem(self.sources).keys(), by_stem(self.targets).keys()
        return sorted(sources - targets), sorted(targets - sources)


class ImagesUnpaired(TwoFolders):
    """Pictures of two folders that do not belong together, such as horses and zebras.

    The training part is `Unpaired`. Validation and test have the first pictures of both folders' own splits, as many as the
    smaller one has, side by side though they are no pairs. See TwoFolders for the arguments, Folder for the splits.
    """

    def prepare(self) -> None:
        """As TwoFolders; raises UserError too if a split of a folder has too few pictures."""
        super().prepare()
        for folder in (self.sources, self.targets):
            sizes = {name: len(folder.split(name)) for name in SPLITS}
            check_splits(f"{folder.key}={folder.path}", "images", sizes)

    def split(self, name: str) -> Split:
        """ "train", which is Unpaired, "validation" or "test"."""
        x, source = (folder.split(name)["x"] for folder in (self.targets, self.sources))
        if name == "train":
            return Unpaired(x=x, source=source)
        n = min(len(x), len(source))
        return Arrays(x=x[:n], source=source[:n])


def by_stem(folder: Folder) -> dict[str, int]:
    """Name without suffix -> row of the folder's images; UserError for two files that differ in their suffixes alone."""
    found: dict[str, int] = {}
    names: Sequence[str] = folder.names()
    for row, name in enumerate(names):
        stem = Path(name).with_suffix("").as_posix()
        if stem in found:
            raise UserError(
                f"{folder.key}={folder.path}: {names[found[stem]]!a} and {name!a} have one name, so it is "
                "not clear which is the partner: rename or remove one"
            )
        found[stem] = row
    return found
