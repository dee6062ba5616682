"""What the data sets of music use of the PyPI package music21 10.5.1, derived once from its wheel."""

import json
import zipfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from src.data.music.abc import read_tune, tunes
from src.data.music.bars import Unusable, place, quantise
from src.data.music.chorale_files import read_chorale
from src.data.music.notes import bar_steps
from src.data.music.pieces import Piece, bar_windows, melody_windows, placed, to_lines

PACKAGE, WHEEL = "music21==10.5.1", "music21-10.5.1-py3-none-any.whl"
WHEEL_SHA256 = "dc3309498c4c95cebdf8d4f20c868deb6b63bce1d929cad4f51a7ccc982987b1"
CORPUS = "music21/corpus/"
FOLK = {"oneills1850": "O'Neill", "airdsAirs": "Aird", "ryansMammoth": "Ryan"}
ESSEN = {"essenFolksong": "Essen"}


def derive(wheel: Path) -> dict[str, bytes]:
    """The folk tunes and the chorales, and what was left out of them."""
    return derive_tunes(wheel, FOLK, "folk") | derive_chorales(wheel)


def derive_essen(wheel: Path) -> dict[str, bytes]:
    """The songs of the Essen collection, and what was left out of them."""
    return derive_tunes(wheel, ESSEN, "essen", shared=1 / 3)  # short songs: one window in five is often a formula


def derive_tunes(wheel: Path, collections: Mapping[str, str], name: str, shared: float = 0.2) -> dict[str, bytes]:
    """Tunes from collections of ABC files, transposed to a signature without sharps and flats.

    collections: their names by their folders in the package's corpus. name: of the files. shared: see
    `placed`.
    """
    counts, pieces = Counter[str](), list[Piece]()
    with zipfile.ZipFile(wheel) as archive:
        for folder, collection in collections.items():
            files = [entry for entry in archive.namelist() if entry.startswith(f"{CORPUS}{folder}/") and entry.endswith(".abc")]
            for file in sorted(files):
                for text in tunes(archive.read(file).decode("utf-8", "replace")):
                    counts["tunes"] += 1
                    try:
                        pieces.append(_tune(text, collection, counts))
                    except Unusable as reason:
                        counts[str(reason)] += 1
    return _files(placed(pieces, bar_windows, counts, shared), counts, name)


def _tune(text: str, collection: str, counts: Counter[str]) -> Piece:
    tune = read_tune(text)
    changes = tune.changes
    exact, steps = place(tune.bars, bar_steps(tune.metre), changes)
    if not (notes := quantise(exact, changes)):
        raise Unusable("without_notes")
    counts.update(changes)
    shift = (-7 * tune.sharps + 6) % 12 - 6
    notes = [note._replace(pitch=note.pitch + shift) for note in notes]
    return Piece("", collection, tune.title, tune.metre, tune.key, tune.mode, shift, steps, notes)


def derive_chorales(wheel: Path) -> dict[str, bytes]:
    """Bach's chorales with four parts."""
    counts, pieces = Counter[str](), list[Piece]()
    with zipfile.ZipFile(wheel) as archive:
        files = [name for name in archive.namelist() if name.startswith(f"{CORPUS}bach/") and name.endswith(".mxl")]
        for file in sorted(files):
            counts["chorales"] += 1
            try:
                pieces.append(read_chorale(archive.read(file), Path(file).stem.upper().replace("BWV", "BWV "), counts))
            except Unusable as reason:
                counts[str(reason)] += 1
    return _files(placed(pieces, melody_windows, counts, held_out=0.1), counts, "chorales")


def _files(pieces: list[Piece], counts: Counter[str], name: str) -> dict[str, bytes]:
    counted = {key: count for key, count in counts.items() if count}
    return {f"{name}.jsonl": to_lines(pieces), f"{name}_counts.json": (json.dumps(counted, indent=1) + "\n").encode()}
