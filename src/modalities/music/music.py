"""Music: samples as MIDI, sound, piano roll and score.

Samples are symbols [N, T, V] on a grid of sixteenths (src/data/music/notes.py), whole numbers.
"""

import copy
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from src.config.errors import UserError
from src.data.music.keys import Key, estimate_key, to_key
from src.data.music.midi_files import read_midi
from src.data.music.notes import HOLD, REST, Note, Symbols, bar_steps, pitch_name
from src.data.spec import Spec
from src.data.vocabulary import END, PAD
from src.modalities.modality import check_nan
from src.modalities.music import roll, synth
from src.modalities.music.lyrics import Syllable
from src.modalities.music.midi import midi
from src.modalities.music.musicxml import musicxml
from src.modalities.music.score import svg
from src.modalities.music.spelling import key_name
from src.modalities.music.tune import A_MINOR, C_MAJOR, Tune, one_after_another
from src.modalities.pictures import png
from src.modalities.sidecars import begin_samples, earlier_files, end_samples, marks_of, stems_of, write_archive, write_marked
from src.system.files import write_atomic

PREVIEW = 32  # rolls of a picture
HEARD, SECONDS = 2, 4.0  # tunes, and seconds of each, that `listen` plays
SYNTHS = "own", "fluidsynth"


class Given(NamedTuple):
    """Music of a user as symbols int64 [P, V].

    shift: semitones that it was moved by. key: estimated, before it was moved. The others: see `read_midi`.
    """

    symbols: np.ndarray
    shift: int
    key: Key
    metre: str
    tempo: float
    left_out: Mapping[str, int]


class Music:
    """Data whose `x` is tokens (T, V) of musical symbols, or binary piano rolls (2 V, T, P).

    metre: of all samples, unless the names of their classes begin with one, as "6/8 minor" does. tempo: quarter notes per
    minute. normalised: whether the data's key signatures have no sharps and flats.
    """

    suffix = ".png"
    formats = ".mid", ".wav", ".png", ".musicxml", ".svg"
    usual = 8  # samples, where the user asks for no number

    def __init__(self, spec: Spec, metre: str = "4/4", tempo: float = 120.0, normalised: bool = False) -> None:
        if spec.kind == "roll":
            self.symbols = Symbols((HOLD, REST, *spec.x.names))
            self.voices, self.steps = spec.shape[0] // 2, spec.shape[1]
        elif spec.kind == "tokens" and len(spec.shape) == 2 and {HOLD, REST} <= set(spec.x.names):
            self.symbols, (self.steps, self.voices) = Symbols(spec.x.names), spec.shape
        else:
            found = f"{spec.kind} {list(spec.shape)}"
            raise UserError(f"music is tokens [T, V] with musical symbols, not {found}: choose another modality for this data")
        bar_steps(metre)
        self.spec, self.metre, self.tempo, self.normalised = spec, metre, tempo, normalised
        self.key: Key | None = None  # of what is shown; None: as it is drawn
        self.known_key: Key | None = None  # of what is drawn, after `shift`; None: it is estimated
        self.shift = 0  # semitones, on top of what is drawn
        self.synth = SYNTHS[0]
        self.words: tuple[Syllable, ...] = ()

    def with_settings(
        self,
        tempo: float | None = None,
        metre: str | None = None,
        key: Key | None = None,
        shift: int = 0,
        synth: str = SYNTHS[0],
        words: Iterable[Syllable] = (),
        known_key: Key | None = None,
    ) -> Self:
        """The same, but tunes are shown and played in a tempo, metre and key, with words.

        shift: semitones, before `key`. known_key: in which tunes are after `shift`; None to estimate it of each.
        """
        found = copy.copy(self)
        found.tempo, found.metre = tempo or self.tempo, metre or self.metre
        found.key, found.shift, found.synth, found.words, found.known_key = key, shift, synth, tuple(words), known_key
        return found

    def metre_of(self, number: int | None) -> str:
        """The metre of samples of a class."""
        name = self.spec.classes[number].split()[0] if number is not None and self.spec.classes else ""
        return name if re.fullmatch(r"\d+/\d+", name) else self.metre

    def finish(self, x: Tensor) -> Tensor:
        """Model output to symbols int64 [..., T, V] on the CPU. Rolls [..., 2 V, T, P] are in [-1, 1].

        NaN raises Diverged.
        """
        if self.spec.kind != "roll":
            return x.cpu().long()
        from src.data.music.rolls import roll_to_symbols

        return torch.from_numpy(roll_to_symbols(check_nan(x).cpu().numpy(), self.symbols.names))

    def tunes(self, samples: Tensor, classes: Tensor | None = None) -> list[Tune]:
        """Samples [N, T, V] as they are shown. classes: [N], whose names say the metre."""
        numbers = [None] * len(samples) if classes is None else classes.tolist()
        return [self.tune(sample, number) for sample, number in zip(_symbols(samples), numbers, strict=True)]

    def tune(self, sample: np.ndarray, number: int | None = None) -> Tune:
        """A sample [T, V] of a class."""
        home = self.home_key(sample, number) if self.normalised else None
        found = Tune.of(sample, self.symbols, self.metre_of(number), self.tempo, self.words, home).transposed(self.shift)
        found = found if self.known_key is None else replace(found, key=self.known_key)
        return found if self.key is None else found.transposed(to_key(found.key, self.key))

    def home_key(self, sample: np.ndarray, number: int | None) -> Key:
        """C major or A minor, which have the signature of normalised data: by the class's name, else by the estimated mode."""
        mode = self.spec.classes[number].split()[-1] if number is not None and self.spec.classes else ""
        return A_MINOR if "minor" in (mode or estimate_key(self.symbols.decode(sample)).mode) else C_MAJOR

    def encode(self, tune: Tune, suffix: str, marks: Mapping[str, str], title: str = "") -> bytes:
        """A tune as a file with one of the suffixes `formats`."""
        if suffix == ".mid":
            return midi(tune, marks)
        if suffix == ".wav":
            return synth.wav(synth.sound(tune), marks) if self.synth == "own" else synth.fluidsynth(midi(tune, {}), marks)
        if suffix == ".png":
            return png(roll.picture([tune], [", ".join(filter(None, (title, tune.title)))]), marks)
        score = musicxml(tune, marks, title)
        return (svg(score, marks) if suffix == ".svg" else score).encode()

    # Files

    def save(
        self,
        samples: Iterable[Tensor],
        folder: str | Path,
        seeds: Sequence[int],
        provenance: Mapping[str, Any],
        classes: Tensor | None = None,
    ) -> None:
        """A file of each of `formats` for each sample, named by its seed, and `samples.json`; earlier samples are deleted.

        samples: consecutive portions [n, T, V]. classes: [N], see `tunes`.
        """
        folder, stems = Path(folder), stems_of(seeds)
        tunes = self.tunes(torch.cat(list(samples)), classes)
        if len(tunes) != len(seeds):
            raise ValueError(f"{len(tunes)} samples, but {len(seeds)} seeds")
        names = {stem + suffix: seed for stem, seed in zip(stems, seeds, strict=True) for suffix in self.formats}
        listed = [
            {
                "seed": seed,
                "key": key_name(tune.key),
                "metre": tune.metre,
                "bars": tune.steps // tune.bar,
                "notes": len(tune.notes),
            }
            for tune, seed in zip(tunes, seeds, strict=True)
        ]
        earlier, marks = earlier_files(folder, names), marks_of(provenance)
        begin_samples(folder, earlier, {**marks, "provenance": provenance, "seeds": names, "tunes": listed})
        for tune, stem, seed in zip(tunes, stems, seeds, strict=True):
            for suffix in self.formats:
                data = self.encode(tune, suffix, {**marks, "seed": str(seed)}, f"seed {seed}")
                write_atomic(folder / (stem + suffix), data, durable=False)
        end_samples(folder)

    def save_one(
        self, sample: Tensor, path: str | Path, seed: int, provenance: Mapping[str, Any], classes: Tensor | None = None
    ) -> None:
        """One sample [T, V] as one file with a suffix of `formats`, and a JSON file beside it."""
        (tune,) = self.tunes(sample[None], classes)
        own = {"seed": str(seed)}
        write_marked(path, lambda marks: self.encode(tune, Path(path).suffix, marks | own, f"seed {seed}"), provenance)

    def save_archive(self, samples: Tensor, path: str | Path, seeds: Sequence[int], provenance: Mapping[str, Any]) -> None:
        """All samples in one NumPy archive: `tokens` is int64 [N, T, V], `names` those of the symbols, `seeds` int64 [N]."""
        write_archive(path, seeds, provenance, tokens=_symbols(samples), names=np.array(self.symbols.names))

    def preview(
        self,
        samples: Tensor,
        path: str | Path,
        provenance: Mapping[str, Any] | None = None,
        classes: Tensor | None = None,
    ) -> None:
        """A PNG with the piano rolls of the first `PREVIEW` samples, numbered from 1; classes: [N], see `tunes`."""
        tunes = self.tunes(samples[:PREVIEW], None if classes is None else classes[:PREVIEW])
        titles = [f"{number}: {tune.title}" for number, tune in enumerate(tunes, start=1)]
        write_marked(path, lambda marks: png(roll.picture(tunes, titles), marks), provenance)

    def strip(self, samples: Tensor, path: str | Path, provenance: Mapping[str, Any] | None = None) -> None:
        """Interpolations [R, S, T, V] as a PNG with a row of S piano rolls for each of R pairs.

        The first row is also beside it as .mid and .wav: its tunes one after another.
        """
        rows, steps = samples.shape[:2]
        tunes = self.tunes(samples.flatten(0, 1))
        titles = [f"{row}, step {step} of {steps}" for row in range(1, rows + 1) for step in range(1, steps + 1)]
        played = one_after_another(tunes[:steps])
        beside: dict[str, Callable[[dict[str, str]], bytes]] = {
            suffix: partial(self.encode, played, suffix) for suffix in (".mid", ".wav")
        }
        write_marked(path, lambda marks: png(roll.picture(tunes, titles, columns=steps), marks), provenance, beside)

    def listen(self, samples: Tensor, path: str | Path, classes: Tensor | None = None) -> list[Path]:
        """The beginnings of the first samples as one WAV file, and their score as SVG, beside `path`: for logs and pages."""
        tunes = [tune.first(SECONDS) for tune in self.tunes(samples[:HEARD], None if classes is None else classes[:HEARD])]
        wav, score = Path(path).with_suffix(".wav"), Path(path).with_suffix(".svg")
        sounds = [part for tune in tunes for part in (synth.sound(tune), np.zeros(synth.RATE // 2, np.int16))]
        write_atomic(wav, synth.wav(np.concatenate(sounds), {}))
        write_atomic(score, self.encode(tunes[0], ".svg", {}))
        return [wav, score]

    # Music that a user gives

    def read(self, path: str | Path, key: str, voices: int | None = None) -> Given:
        """A MIDI file as symbols, up to the end of its last note; UserError, which names the setting `key`.

        It is moved to a key without sharps and flats if the data are `normalised`, and by octaves where its pitches are none of
        the data's.
        """
        voices = voices or self.voices
        found = read_midi(path, voices)
        symbols, shift = self.encode_notes(found.notes, f"{key}={path}", voices)
        return Given(symbols, shift, estimate_key(found.notes), found.metre, found.tempo, found.left_out)

    def encode_notes(self, notes: Sequence[Note], where: str, voices: int) -> tuple[np.ndarray, int]:
        """(symbols int64 [P, V], semitones that they were moved by), see `read`."""
        known = self.symbols.pitches[self.symbols.pitches >= 0]
        home = to_key(estimate_key(notes), C_MAJOR) if self.normalised else 0
        steps = max(note.start + note.duration for note in notes)
        pitches = [note.pitch for note in notes]
        for octave in (0, -12, 12, -24, 24):
            shift = home + octave
            if known.min() <= min(pitches) + shift and max(pitches) + shift <= known.max():
                moved = [note._replace(pitch=note.pitch + shift) for note in notes]
                return self.symbols.encode(moved, steps, voices), shift
        low, high = pitch_name(int(known.min())), pitch_name(int(known.max()))
        raise UserError(
            f"{where} goes from {pitch_name(min(pitches))} to {pitch_name(max(pitches))}, and the data's pitches from {low} to "
            f"{high}: take a tune of a smaller range"
        )

    def fitted(self, symbols: np.ndarray, where: str) -> Tensor:
        """A piece [P, V] as a sample [T, V], with its end or silence after it; UserError if it is longer than samples are."""
        ends = END in self.symbols.names
        most = self.steps - ends
        if len(symbols) > most:
            raise UserError(
                f"{where} has {len(symbols)} sixteenths, and samples of this model {most}: shorten it, or take another model"
            )
        found = np.full((self.steps, symbols.shape[1]), self.symbols.names.index(PAD if ends else HOLD), np.int64)
        found[: len(symbols)] = symbols
        found[len(symbols) : len(symbols) + 1] = self.symbols.names.index(END if ends else REST)
        return torch.from_numpy(found)


def _symbols(samples: Tensor) -> np.ndarray:
    """int64 [N, T, V]."""
    if samples.ndim != 3 or samples.is_floating_point():
        kind = str(samples.dtype).removeprefix("torch.")
        raise UserError(f"music is whole numbers [N, T, V], not {kind} {list(samples.shape)}: choose data of music")
    if not len(samples):
        raise UserError("there is no music to show: ask for one sample or more")
    return samples.detach().cpu().long().numpy()
