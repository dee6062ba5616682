"""The runs that the page offers, and their models. No file outside the given folders is read, not even through a link."""

import hashlib
import math
import os
import sys
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from src.config.errors import UserError
from src.config.identity import short_hash
from src.runs import filters
from src.runs.folder import RunFolder

KEPT = 3  # models in memory


class NoSuchRun(UserError):
    pass


@dataclass(frozen=True)
class Entry:
    """A finished run with weights.

    id: a word for addresses. film, picture: files, if there are any; pairs: one of sources, samples and targets; directions:
    their record. seconds: of a CPU for 1,000 samples, infinite if unknown.
    """

    id: str
    name: str
    folder: RunFolder
    config: dict[str, Any]
    film: Path | None
    picture: Path | None
    pairs: Path | None
    directions: Path | None
    seconds: float

    def record(self) -> dict[str, Any]:
        """What the list of runs shows, as JSON."""
        return {
            "id": self.id,
            "name": self.name,
            "title": self.config["name"],
            "model": self.config["model"]["_target_"].rpartition(".")[2],
            "data": self.config["data"]["name"],
            "modality": self.config["data"]["modality"]["_target_"].rpartition(".")[2],
            "seed": self.config["seed"],
            "parameters": sum(self.folder.manifest().get("parameters", {}).values()),
            "film": self.film is not None,
            "pairs": self.pairs is not None,
            "picture": self.picture is not None and self.picture.suffix == ".png",
        }


class Catalog:
    """The runs at or below some folders.

    roots: missing ones are passed over. data: the folder where downloaded data are, None for the configs' own. filtered: the
    settings of filters, see `filters.asked`. With filters, a run's pictures and films are not offered: no filter has seen them.
    """

    def __init__(self, roots: Sequence[str | Path], data: str | None = None, filtered: Mapping[str, Any] = filters.OFF) -> None:
        self.roots = [Path(root) for root in roots if Path(root).is_dir()]
        self.data, self.filtered = data, filtered
        filters.asked(filtered)  # UserError now, before a page is shown
        self._entries: dict[str, Entry] = {}
        self._loaded: OrderedDict[str, Any] = OrderedDict()
        self._named: set[str] = set()

    def find(self) -> list[Entry]:
        """All runs, those that draw fastest first. A run and its published copy count once."""
        found: dict[tuple[str, int], Entry] = {}
        for path in (path for root in self.roots for path in run_folders(root)):
            try:
                entry = self.read(path)
            except (KeyError, TypeError, AttributeError, ValueError) as error:
                self._name(f"{path} is left out: {' '.join(str(error).split())}")
                continue
            if entry:
                found[short_hash(entry.config), entry.config["seed"]] = entry  # the published copy, which is found later
        ordered = sorted(found.values(), key=lambda entry: (entry.seconds, entry.name))
        self._entries = {entry.id: entry for entry in ordered}
        return [*self._entries.values()]

    def read(self, path: Path) -> Entry | None:
        """The run in a folder; None if it is not finished or has no weights. UserError if it is damaged."""
        folder = RunFolder(path)
        if not (self.inside(path / "config.yaml") and self.inside(path / "manifest.json") and folder.finished()):
            return None
        weights = [path / "weights.safetensors"] if folder.is_published() else folder.own()
        if not any(file.is_file() and self.inside(file) for file in weights):
            return None

        def first(files: Iterable[Path | None]) -> Path | None:
            return next((file for file in files if file and file.is_file() and self.inside(file)), None)

        def made(*files: Path | None) -> Path | None:
            return None if filters.given(self.filtered) else first(files)

        name = path.as_posix()
        entry = Entry(
            hashlib.sha256(name.encode()).hexdigest()[:12],
            name,
            folder,
            folder.config(trusted=False),
            made(folder.samples / "film.gif", path / "film.gif"),
            made(folder.last_preview(), *sorted(path.glob("samples.*"))),
            made(folder.samples / "pairs.png", path / "pairs.png"),
            first([folder.directions]),
            float(folder.manifest().get("evaluation_cost", {}).get("sampling_cpu_seconds_per_1000", math.inf)),
        )
        entry.record()  # raises where it is damaged: one run must not take the others out of the list
        return entry

    def inside(self, path: Path) -> bool:
        """Whether a path, links followed, is below one of the folders."""
        return any(path.resolve().is_relative_to(root.resolve()) for root in self.roots)

    def entry(self, id: str) -> Entry:
        """NoSuchRun for an id that is none of a run."""
        if id not in self._entries:
            self.find()
        if id not in self._entries:
            raise NoSuchRun("there is no such run: load the page again")
        return self._entries[id]

    def load(self, id: str) -> Any:
        """The LoadedRun; the last KEPT stay in memory, as long as their weights do not change."""
        from src.page.panels.panel import LoadedRun
        from src.runs.load import load_run
        from src.runs.sampling import provenance_of

        entry = self.entry(id)
        weights = entry.folder.weights()
        if not self.inside(weights):
            raise UserError(f"{weights} is a link out of the folders that the page may read: copy the file there")
        files = [weights, *([entry.directions] if entry.directions else [])]
        key = " ".join([id, *(f"{file} {file.stat().st_mtime_ns}" for file in files)])
        if key not in self._loaded:
            model = load_run(entry.folder.path)
            modality = entry.folder.experiment().modality(model.spec)
            provenance = provenance_of(entry.folder, model)
            judges = filters.asked(self.filtered)
            for judge in judges:
                judge.prepare(modality)
            more = (provenance, self.data, judges, entry.directions)
            self._loaded[key] = LoadedRun(entry.folder, entry.name, model, modality, *more)
        self._loaded.move_to_end(key)
        while len(self._loaded) > KEPT:
            self._loaded.popitem(last=False)
        return self._loaded[key]

    def _name(self, problem: str) -> None:
        if problem not in self._named:
            self._named.add(problem)
            print(problem, file=sys.stderr)


def run_folders(root: Path) -> Iterator[Path]:
    """Folders with a config.yaml at or below one, by name; nothing below them is searched, and no link is followed."""
    for folder, names, files in os.walk(root):
        names.sort()
        if "config.yaml" in files:
            names.clear()
            yield Path(folder)
