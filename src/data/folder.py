"""Any folder of images as a data set."""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from src.config.errors import UserError
from src.data.dataset import SPLITS, Arrays
from src.data.decoded import PORTION, REVISION, Decoded, map_parallel, to_array, write_images
from src.data.files import kind, list_files, unreadable
from src.data.sources import digest
from src.data.spec import Spec
from src.system.files import check_writable, write_json

SUFFIXES = (".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
HELD_OUT = 0.05  # share of the images in the test split; validation has the same share
FEWEST = 5  # images per split: with fewer, no distance to the split is defined
READING = 3  # increase it when other files are read, or their splits or classes change: older caches are then not used
GIVEN = {"train": "train", "val": "validation", "valid": "validation", "validation": "validation", "test": "test"}
RECOMMENDED = 250  # images: in 99 of 100 folders of this size, each split has at least FEWEST
REMEDY = f"add different ones, some {RECOMMENDED} in all, or make folders train, val and test"


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


class Folder:
    """The images in a folder and all folders below it, made square: uint8 [N, channels, size, size].

    If all images are in sub-folders and there are at least two of these, their names are the classes (int64 labels, sorted by
    name); otherwise there are no classes. Hidden files and folders are skipped, links to folders outside are followed.
    Files that are no images are counted by kind.

    The hash of each file decides its split, about 90, 5 and 5 %: a new file moves no other file, and equal files share a
    split. But where train and at least one of val, valid, validation and test lie at the top, these are the splits, a missing
    one is taken from train by hash, and the classes are the sub-folders below.

    The images are decoded once, into a folder of `cache` named after the file names, bytes and settings. Later starts
    compare names, sizes and modification times. If those differ, all files are hashed; if the hashes differ, the images are
    decoded again.

    path: the folder. cache: the folder for decoded images.
    max_broken: allowed share of files that cannot be decoded. They are named and left out; a larger share is an error.
    """

    name = "folder"
    key = "data.path"  # the setting that names the folder, for messages
    # What a subclass reads instead (src/data/video.py).
    suffixes: ClassVar[tuple[str, ...]] = SUFFIXES
    things = "images"
    units = "images"  # samples, of which a file may have several
    held_out = HELD_OUT
    remedy = REMEDY  # of too few
    portion = PORTION  # files in memory at once

    def __init__(
        self, path: str | Path, cache: str | Path, size: int = 32, channels: int = 3, max_broken: float = 0.05
    ) -> None:
        if channels not in (1, 3):
            raise UserError(f"channels={channels}: must be 1 (grey) or 3 (colour)")
        self.path, self.cache = Path(path).expanduser(), Path(cache)
        self.size, self.channels, self.max_broken = size, channels, max_broken
        self._settings: dict[str, Any] = {"size": size, "channels": channels, "revision": REVISION, "reading": READING}

    @cached_property
    def spec(self) -> Spec:
        """Built from the file names alone. Without classes if the folder is gone: sampling a trained model does not need it."""
        names = self._names()[0] if self.path.is_dir() else []
        return Spec.of("image", (self.channels, self.size, self.size), self._classes(names))

    def prepare(self) -> None:
        """Decode the images, or check every byte of the decoded ones; raises UserError with the remedy."""
        names, others = self._names()
        if not names:
            found = f"; found: {others}" if others else ""
            raise UserError(f"{self.key}={self.path}: there are no {self.things} in it ({', '.join(self.suffixes)}){found}")
        listing = _hash([others, *map(self._status, names)])
        unchanged = self._decoded if self._known.get("listing") == listing else None
        if unchanged is None or not unchanged.is_intact():
            check_writable(self.cache, "paths.data")
            hashes = self._hash_files(names)
            decoded = self._place({"files": _hash(hashes), **self._settings})
            if not decoded.is_intact():
                decoded.make(partial(self._write, hashes))
            if others:
                print(f"{self.path}: left out: {others}")
            write_json(self._index, {"listing": listing, "source": decoded.source})
        self._check_broken()
        self._check_splits()

    def hashes(self) -> dict[str, str]:
        """SHA-256 of the arrays of images and of labels."""
        return self._ready().hashes()

    def split(self, name: str) -> Arrays:
        """ "train", "validation" or "test"; x is a read-only memory map."""
        decoded = self._ready()
        test, validation = decoded.details()["test"], decoded.details()["validation"]
        rows = {
            "test": slice(0, test),
            "validation": slice(test, test + validation),
            "train": slice(test + validation, None),
        }[name]
        labels = np.array(decoded.array("labels")[rows]) if "labels.npy" in decoded.hashes() else None
        return Arrays(x=decoded.array("images")[rows], y=labels)

    def names(self) -> list[str]:
        """The file of each row of `images`, relative to the folder."""
        return self._ready().details()["names"]

    def images(self) -> np.ndarray:
        """All images, uint8 [N, channels, size, size], a read-only memory map."""
        return self._ready().array("images")

    def given(self) -> dict[str, str]:
        """Folder at the top -> its split, if such folders are named after splits; else empty."""
        return self._given(self.names())

    # The cache

    @cached_property
    def _index(self) -> Path:
        return self.cache / f"{_hash([os.fsdecode(self.path.resolve()), self._settings])[:16]}.json"

    @property
    def _known(self) -> dict[str, Any]:
        """The index that the last prepare() of this folder with these settings wrote; empty if there is none."""
        try:
            return dict(json.loads(self._index.read_text()))
        except (OSError, ValueError, TypeError):
            return {}

    @property
    def _decoded(self) -> Decoded | None:
        source = self._known.get("source")
        return self._place(source) if source else None

    def _place(self, source: dict[str, Any]) -> Decoded:
        return Decoded(self.cache / _hash(source)[:16], source)

    def _ready(self) -> Decoded:
        if (decoded := self._decoded) is None:
            raise UserError(f"{self.path} is not prepared: run python -m src.prepare with the same data settings")
        return decoded

    # The files of the folder

    def _names(self) -> tuple[list[str], str]:
        """All image files, relative to the folder, sorted; and how many other files there are, by kind."""
        if not self.path.is_dir():
            raise UserError(f"{self.key}={self.path}: there is no such folder: say where the {self.things} are now")
        return list_files(self.path, self.suffixes)

    def _given(self, names: list[str]) -> dict[str, str]:
        """See `given`."""
        tops = sorted({Path(name).parts[0] for name in names})
        given = {top: GIVEN[top.lower()] for top in tops if top.lower() in GIVEN}
        if len(set(given.values())) < 2:
            return {}
        said = f"{self.key}={self.path}: {' and '.join(given)} are taken for splits, but"
        if "train" not in given.values():
            raise UserError(f"{said} there is no train: add it, or rename them if they are classes")
        if beside := [top for top in tops if top not in given]:
            raise UserError(
                f"{said} {beside[0]!a} lies beside them: move it into one of them, or rename them if they are classes"
            )
        return given

    def _classes(self, names: list[str]) -> tuple[str, ...]:
        """Names of the sub-folders, of all splits, if every image is in one and there are several; else empty."""
        depth = 1 if self._given(names) else 0
        parts = [Path(name).parts[depth:] for name in names]
        found = sorted({part[0] for part in parts})
        return tuple(found) if len(found) > 1 and all(len(part) > 1 for part in parts) else ()

    def _status(self, name: str) -> tuple[str, int, int]:
        """Name, size and time; -1 for what is no regular file."""
        try:
            if not (self.path / name).is_file():
                return name, -1, -1
            status = (self.path / name).stat()
        except OSError as error:
            raise unreadable(error) from error
        return name, status.st_size, status.st_mtime_ns

    def _hash_files(self, names: list[str]) -> dict[str, str]:
        """SHA-256 by name; "" for what is no regular file: reading a pipe would wait for ever."""

        def hash_file(name: str) -> str:
            path = self.path / name
            return digest(path) if path.is_file() else ""

        try:
            hashes = map_parallel(f"{self.path}: reading", hash_file, names, self.things)
            return dict(zip(names, hashes, strict=True))
        except OSError as error:
            raise unreadable(error) from error

    # Decoding

    def _write(self, hashes: dict[str, str], folder: Path) -> dict[str, Any]:
        given, classes = self._given([*hashes]), self._classes([*hashes])
        kept: list[str] = []  # of each sample
        empty: list[str] = []
        broken = {name: kind(self.path / name) for name, sha256 in hashes.items() if not sha256}
        splits = {name: split_of_file(name, sha256, given, self.held_out) for name, sha256 in hashes.items() if sha256}
        # Sorted by split: each is then one slice, and only a slice can be memory-mapped.
        order = ("test", "validation", "train")
        names = sorted(splits, key=lambda name: (order.index(splits[name]), hashes[name], name))
        if given:
            missing = [split for split in order if split not in given.values()]
            rest = f", {' and '.join(missing)} part of train" if missing else ""
            print(f"{self.path}: its splits are {', '.join(given)}{rest}")

        def images() -> Iterator[np.ndarray]:
            decode = partial(self._decode, hashes)
            decoded = map_parallel(f"{self.path}: decoding", decode, names, self.things, self.portion)
            for name, samples in zip(names, decoded, strict=True):
                if isinstance(samples, Exception):
                    broken[name] = f"{type(samples).__name__}: {samples}".splitlines()[0]
                    continue
                if not len(samples):
                    empty.append(name)
                for sample in samples:
                    kept.append(name)
                    yield sample

        write_images(folder / "images.npy", images(), self.spec.shape)
        if classes:
            labels = [classes.index(Path(name).parts[1 if given else 0]) for name in kept]
            np.save(folder / "labels.npy", np.array(labels, dtype=np.int64))
        for name, reason in list(broken.items())[:20]:
            print(f"broken, left out: {name!a} ({reason})")
        if len(broken) > 20:
            print(f"and {len(broken) - 20:,} more")

        counts = {"files": len({*kept}) + len(empty), "empty": empty}
        test, validation = (sum(splits[name] == split for name in kept) for split in order[:2])
        details = {"images": len(kept), "test": test, "validation": validation, "broken": broken, "names": kept}
        return {**details, **counts}

    def _decode(self, hashes: dict[str, str], name: str) -> Sequence[np.ndarray] | Exception:
        try:
            data = (self.path / name).read_bytes()
        except OSError as error:
            raise unreadable(error) from error
        if hashlib.sha256(data).hexdigest() != hashes[name]:
            raise UserError(f"{self.path / name} changed while it was read: run again when nothing writes to the folder")
        try:
            return self._samples(data)
        except Exception as error:  # Pillow raises nearly anything on damaged bytes
            return error

    def _samples(self, data: bytes) -> Sequence[np.ndarray]:
        """The samples of a file, from its bytes."""
        return [to_array(data, self.size, self.channels)]

    def _check_broken(self) -> None:
        """Raise UserError if too many files are broken."""
        details = self._ready().details()
        broken, files = details["broken"], details.get("files", details["images"])
        if len(broken) > self.max_broken * (files + len(broken)):
            name, reason = next(iter(broken.items()))
            raise UserError(
                f"{self.key}={self.path}: {len(broken):,} of {files + len(broken):,} {self.things} are broken, for one {name!a}"
                f" ({reason}): remove them, or allow more with data.max_broken= (now {self.max_broken:g})"
            )

    def _check_splits(self) -> None:
        """Raise UserError if a split has too few samples."""
        check_splits(f"{self.key}={self.path}", self.units, {name: len(self.split(name)) for name in SPLITS}, self.remedy)


def check_splits(place: str, what: str, splits: dict[str, int], remedy: str = REMEDY) -> None:
    """Raise UserError if a split has too few samples. place, what: where, and of what, for the message."""
    if min(splits.values()) < FEWEST:
        shares = ", ".join(f"{count} for {name}" for name, count in splits.items())
        raise UserError(f"{place}: {sum(splits.values())} {what} are too few ({shares}; each needs {FEWEST}): {remedy}")


def split_of_file(name: str, sha256: str, given: dict[str, str], share_held_out: float = HELD_OUT) -> str:
    """The split of a file: that of its folder at the top in `given`, else by hash, where no folder is that split."""
    own = given.get(Path(name).parts[0], "train")
    share = int(sha256[:8], 16) / 2**32  # in [0, 1)
    held_out = "test" if share < share_held_out else "validation" if share < 2 * share_held_out else "train"
    return own if own != "train" or held_out in given.values() else held_out
