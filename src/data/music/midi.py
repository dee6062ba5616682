"""A folder of MIDI files as a data set."""

import json
from collections import Counter
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from src.config.errors import UserError
from src.data.dataset import SPLITS, Arrays
from src.data.files import list_files
from src.data.music.folk import SAME_METRE
from src.data.music.midi_files import MidiPiece, read_midi
from src.data.music.notes import RATE, Note, Symbols, bar_steps
from src.data.music.pieces import Piece, bar_windows, placed
from src.data.music.windows import windows
from src.data.sources import digest
from src.data.spec import Field, Spec
from src.system.files import check_writable, write_json

SUFFIXES = (".mid", ".midi")
VOICES = 4
READING = 1  # increase it when files are read in another way: older caches are then not used
SHOWN = 20  # broken files that are named


class Midi:
    """Windows of the MIDI files in a folder and below it, as melodies or in up to four voices: `x` is int64 [N, T, voices].

    T = bars * bar_steps(metre). See `read_midi` for what becomes of a file, and src.data.music.notes for the symbols. Bars
    begin where the file's time signature has them. Files of other metres, those that change it, and broken ones are left out
    and counted; broken ones are named. A file that is another one in another key is left out too. The splits are by hash, about
    90, 5 and 5 % of the files, versions of one piece in the same. Windows of training begin at each bar line, the others at
    each `bars`-th: no bar is scored twice.

    path: the folder. cache: a folder for the notes of each file, which are read once.
    """

    def __init__(
        self, path: str | Path, cache: str | Path, bars: int = 2, metre: str = "4/4", voices: int = 1, name: str = "midi"
    ) -> None:
        if bars < 1:
            raise UserError(f"bars={bars}: a window has at least 1 bar")
        if not 1 <= voices <= VOICES:
            raise UserError(f"voices={voices}: must be 1 (a melody) to {VOICES}")
        self.path, self.cache = Path(path).expanduser(), Path(cache)
        self.bars, self.metre, self.voices, self.name = bars, SAME_METRE.get(metre, metre), voices, name
        self.steps = bars * bar_steps(metre)

    @cached_property
    def spec(self) -> Spec:
        """The pitches are those of all files that are used."""
        return Spec({"x": Field("tokens", (self.steps, self.voices), "int64", names=self._symbols.names, rate=RATE)})

    def prepare(self) -> None:
        """Read the files; raises UserError if there are none, or none of use."""
        if "_pieces" not in self.__dict__:
            _ = self._pieces
            for name, reason in list(self._broken.items())[:SHOWN]:
                print(f"broken, left out: {name!a} ({reason})")
            if len(self._broken) > SHOWN:
                print(f"and {len(self._broken) - SHOWN:,} more")
        counts = {name: len(self.split(name)) for name in SPLITS}
        if not all(counts.values()):
            found = ", ".join(f"{name} {count:,}" for name, count in counts.items())
            raise UserError(f"data.path={self.path}: too few windows of {self.bars} bars ({found}): give more or longer files")

    def hashes(self) -> dict[str, str]:
        """SHA-256 of each file, by its name within the folder."""
        return self._files

    def notes(self) -> dict[str, int]:
        """Counts: files, and what was left out or changed."""
        _ = self._pieces  # makes the counts too
        return {name: count for name, count in self._counts.items() if name not in SPLITS}

    def split(self, name: str) -> Arrays:
        """ "train", "validation" or "test"."""
        stride = 1 if name == "train" else self.bars
        empty = np.empty((0, self.steps, self.voices), np.int64)
        pieces = [piece for piece in self._pieces if piece.split == name]
        found = [windows(piece, self._symbols, self.bars, self.voices, stride) for piece in pieces]
        return Arrays(x=np.concatenate([empty, *found]))

    @cached_property
    def _symbols(self) -> Symbols:
        return Symbols.of(note.pitch for piece in self._pieces for note in piece.notes)

    @cached_property
    def _files(self) -> dict[str, str]:
        if not self.path.is_dir():
            raise UserError(f"data.path={self.path}: there is no such folder: say where the MIDI files are now")
        names, others = list_files(self.path, SUFFIXES)
        if not names:
            listed = f"; found: {others}" if others else ""
            raise UserError(f"data.path={self.path}: there are no MIDI files in it ({', '.join(SUFFIXES)}){listed}")
        return {name: digest(self.path / name) for name in names if (self.path / name).is_file()}

    @cached_property
    def _pieces(self) -> list[Piece]:
        check_writable(self.cache, "paths.data")
        counts, found = Counter(files=len(self._files), broken=0), list[Piece]()
        self._broken: dict[str, str] = {}
        size = bar_steps(self.metre)
        for name, sha256 in self._files.items():
            try:
                midi = self._read(name, sha256)
            except UserError as error:
                self._broken[name] = str(error).removeprefix(f"{self.path / name}").lstrip(": ")
                counts["broken"] += 1
                continue
            if SAME_METRE.get(midi.metre, midi.metre) != self.metre or "metre_changes" in midi.left_out:
                counts["metre_changes" if "metre_changes" in midi.left_out else "other_metre"] += 1
                continue
            counts.update(midi.left_out)
            end = max(note.start + note.duration for note in midi.notes)
            found.append(Piece("", "", name, self.metre, "", "", 0, end + -end % size, midi.notes))
        self._counts = counts
        kept = placed(found, bar_windows, counts) if found else []
        if len({piece.split for piece in kept}) < len(SPLITS):
            seen = ", ".join(
                f"{key.replace('_', ' ')} {count:,}" for key, count in counts.items() if key not in SPLITS and count
            )
            raise UserError(
                f"data.path={self.path}: three different pieces in {self.metre} are needed, better hundreds ({seen}): give "
                "more files, or choose data.metre= as they have it"
            )
        return kept

    def _read(self, name: str, sha256: str) -> MidiPiece:
        """From the cache, if the file has been read before."""
        entry = self.cache / f"{sha256[:32]}-{self.voices}-{READING}.json"
        try:
            known: Any = MidiPiece(*json.loads(entry.read_text()))
        except (OSError, ValueError, TypeError):
            known = read_midi(self.path / name, self.voices)
            write_json(entry, known)
        return known._replace(notes=[Note(*note) for note in known.notes])
