"""Small synthetic music for tests: walks on the scale of C major, as the data sets of music have them, and what shows them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from src.data.dataset import Arrays
from src.data.music.notes import RATE, Note, Symbols
from src.data.spec import Field, Spec
from src.data.vocabulary import END, PAD
from src.evaluation.suite import Column, Main, record

SCALE = [pitch for pitch in range(48, 85) if pitch % 12 in (0, 2, 4, 5, 7, 9, 11)]
SIZES = {"train": 96, "validation": 32, "test": 32}
CLASSES = "4/4 major", "4/4 minor"


class Walks:
    """x: symbols [steps, voices]; voice v is the melody, 2 v degrees of the scale lower. y: whether a tune begins on C or A.

    ends: tunes of 2 or 4 quarters less, then END and PAD; `length` counts steps with END. melody: x[:, 0] as a condition.
    roll: x as a piano roll.
    """

    name = "walks"

    def __init__(self, steps: int = 32, voices: int = 1, ends: bool = False, melody: bool = False, roll: bool = False) -> None:
        self.steps, self.voices, self.ends, self.roll = steps, voices, ends, roll
        self.symbols = Symbols.of(SCALE, ends)
        x = Field("tokens", (steps, voices), "int64", self.symbols.names, RATE)
        if roll:
            pitches = self.symbols.names[2:]
            x = Field("roll", (2 * voices, steps, len(pitches)), "uint8", pitches, RATE, levels=2)
        fields = {"x": x, "y": Field("class", (), "int64", CLASSES)}
        if ends:
            fields["length"] = Field("length", (), "int64")
        if melody:
            fields["melody"] = Field("tokens", (steps,), "int64", self.symbols.names, RATE)
        self.spec = Spec(fields)

    def prepare(self) -> None: ...

    def hashes(self) -> dict[str, str]:
        return {"x": "0"}

    def split(self, name: str) -> Arrays:
        random = np.random.default_rng(len(name))
        rows: dict[str, list[Any]] = {field: [] for field in self.spec.fields}
        for number in range(SIZES[name]):
            length = self.steps - 1 - 8 * (number % 2) if self.ends else self.steps
            tune = self.tune(random, length, number % 2)
            found: dict[str, Any] = {"x": self.rolled(tune) if self.roll else tune, "y": number % 2, "melody": tune[:, 0]}
            if self.ends:
                tune[length] = self.symbols.names.index(END)
                tune[length + 1 :] = self.symbols.names.index(PAD)
                found["length"] = length + 1
            for field, row in rows.items():
                row.append(found[field])
        return Arrays(**{field: np.array(row) for field, row in rows.items()})

    def tune(self, random: np.random.Generator, length: int, minor: int) -> np.ndarray:
        """Quarters, with a half note at the end of each bar."""
        degree, notes = SCALE.index(69 if minor else 72), []
        for start in (step for step in range(0, length, 4) if step % 16 != 12):
            duration = min(8 if start % 16 == 8 else 4, length - start)
            notes += [Note(voice, SCALE[degree - 2 * voice], start, duration) for voice in range(self.voices)]
            degree = int(np.clip(degree + random.integers(-1, 2), 14, len(SCALE) - 1))
        return self.symbols.encode(notes, self.steps, self.voices)

    def rolled(self, tune: np.ndarray) -> np.ndarray:
        """[2 V, T, P]: channel 2 v where a note of voice v sounds, 2 v + 1 where it begins; 0 or 255."""
        roll = np.zeros(self.spec.shape, np.uint8)
        for voice, pitch, start, duration in self.symbols.decode(tune):
            roll[2 * voice, start : start + duration, pitch - SCALE[0]] = 255
            roll[2 * voice + 1, start, pitch - SCALE[0]] = 255
        return roll


class Shown:
    """Numbers in a file."""

    suffix = ".txt"

    def __init__(self, spec: Spec) -> None:
        self.spec = spec

    def finish(self, x: Tensor) -> Tensor:
        return self.spec.x.to_data(x).cpu()

    def preview(self, samples: Tensor, path: str | Path, provenance: Mapping[str, Any] | None = None) -> None:
        Path(path).write_text(repr(samples.tolist()))


class Mean:
    """A suite of one number."""

    main = Main("mean", "lower")
    better = main.better

    def __init__(self, **settings: Any) -> None: ...

    def check(self, spec: Spec) -> None: ...

    def validate(self, model: Any, dataset: Any) -> float:
        return float(model.sample(range(4)).float().mean() + 2)

    def evaluate(self, model: Any, dataset: Any, modality: Any, folder: Path) -> dict[str, Any]:
        value = {"mean": self.validate(model, dataset)}
        return record(self.main, [Column("mean", "mean", "of numbers")], value, {}, {}, {"suite": "mean"})


# What each model is tested with: melodies as a condition, whole bars, piano rolls.
SETTINGS = {"music_gpt": "steps: 16, voices: 2, melody: true", "music_vae": "steps: 32", "music_gan": "steps: 32, roll: true"}
NETWORKS = {
    "music_gpt": ["model.network={width: 16, depth: 1, heads: 2}"],
    "music_vae": ["model.network={z_dim: 4, width: 8}", "model.likelihood_samples=2"],
    "music_gan": ["model.generator={z_dim: 4, width: 4}", "model.discriminator.width=4"],
}


def words_of_walks(model: str) -> list[str]:
    """Words of `compose` for a small model of conf/model on a data set of walks."""
    words = ["data=digits", "data.name=walks", "~data.source", "~data.modality"]
    words += ["evaluation=likelihood", "evaluation._target_=tunes.Mean", "samples.n=2"]
    words.append(f"+data.source={{_target_: tunes.Walks, {SETTINGS[model]}}}")
    words.append("+data.modality={_target_: tunes.Shown, _partial_: true}")
    return [*words, *NETWORKS[model]]


def batch_of(dataset: Walks, split: str = "train", rows: int = 8) -> dict[str, Tensor]:
    """The first samples of a split in the model's format."""
    found = {name: torch.from_numpy(part) for name, part in dataset.split(split).batch(np.arange(rows)).items()}
    return dataset.spec.to_model(found)
