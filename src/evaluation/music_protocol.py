"""The measurement of music and of its controls: what does not depend on the model is computed once, and cached."""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from src.data.dataset import Dataset, Split, read_all
from src.data.music.notes import HOLD, REST, bar_steps
from src.data.music.rolls import roll_to_symbols
from src.data.spec import Spec
from src.data.vocabulary import END, PAD
from src.evaluation.cache import cached_controls, digest
from src.evaluation.extractors.tunes import BARS, TuneFeatures, tokens
from src.evaluation.metrics.distances import frechet_distance, spread, statistics
from src.evaluation.metrics.music.distributions import (
    groove_consistency,
    histograms,
    overlap,
    overlapped_area,
    scale_consistency,
)
from src.evaluation.metrics.music.harmony import fit_of
from src.evaluation.metrics.music.interpolation import crossfade, monotone, shuffled
from src.evaluation.metrics.music.likelihood import ORDER, NoteNGrams, Scored, held
from src.evaluation.metrics.music.motifs import Motifs
from src.evaluation.metrics.music.pieces import Pieces
from src.evaluation.metrics.music.transposition import in_one_key
from src.evaluation.metrics.music.voice_leading import errors, ranges
from src.evaluation.music_columns import FD, HARMONY
from src.evaluation.scoring import subset

REVISION = 1  # increase it when a metric or a control changes its meaning: older caches are then not used
TRAINING_WINDOWS = 20_000  # at most, of each voice: the reference of the Fréchet distance
WINDOWS = 2000  # at most, of each voice of samples
# Training pieces that are there in all keys would otherwise be unlike real pieces, which prefer a few.
TRANSPOSED = "pieces are compared in C major or A minor, but for voice leading and copies: training pieces are transposed"
COMPOUND = ("6/8", "9/8", "12/8")  # metres whose beat is a dotted quarter


def beat_steps(metre: str) -> int:
    """Steps of a beat: a quarter, or a dotted quarter of compound metres."""
    return 6 if metre in COMPOUND else 4


def pieces_of(x: np.ndarray, spec: Spec) -> Pieces:
    """Data or samples as symbols, piano rolls too."""
    if spec.kind == "roll":
        names = (HOLD, REST, *spec.x.names)
        return Pieces(roll_to_symbols(x, names), names)
    return Pieces(x, spec.x.names)


def scored_of(batch: dict[str, np.ndarray], names: tuple[str, ...]) -> Scored:
    """The symbols of a batch of data that a likelihood is measured of."""
    x = batch["x"]
    return Scored(x, batch.get("length", np.full(len(x), x.shape[1])), names)


class WindowDistance:
    """Fréchet distance of pieces to training pieces in features of their windows of two bars; the mean over voices.

    Features are in standard deviations of the training windows. bar: its steps.
    """

    def __init__(self, training: Pieces, bar: int, features: Callable[..., Any]) -> None:
        self.bar, self.features = bar, features
        found = [self.of_voice(training, voice, TRAINING_WINDOWS) for voice in range(training.voices)]
        self.scales = [spread(part) for part in found]
        self.training = [statistics(part / scale) for part, scale in zip(found, self.scales, strict=True)]

    def of_voice(self, pieces: Pieces, voice: int, most: int) -> Any:
        """Features [W, D] of up to `most` windows, drawn by seed."""
        x = tokens(pieces, self.bar, voice)
        return self.features(x[subset(len(x), most, 0, "windows")] if len(x) else x)

    def __call__(self, pieces: Pieces, most: int) -> float:
        """0 and up; biased upwards for few windows: compare only values of the same number. most: windows of each voice.

        Of samples that end too early to have two windows, the distance is that of a silent one, taken twice.
        """
        found = []
        for voice in range(pieces.voices):
            part = self.of_voice(pieces, voice, most)
            if len(part) < 2:
                silence = Pieces(np.full((2, BARS * self.bar, 1), pieces.rest), pieces.names)
                part = self.of_voice(silence, 0, 2)
            found.append(frechet_distance(statistics(part / self.scales[voice]), self.training[voice]))
        return float(np.mean(found))


class Reference:
    """Real music, and what is measured with it: metrics of samples, and the controls.

    split: of the unseen pieces. samples: of the model; fewer if the split has fewer. scored: most pieces whose likelihood is
    measured. metre: of the bars that are compared.
    """

    def __init__(self, dataset: Dataset, split: str, samples: int, scored: int, metre: str) -> None:
        self.dataset, self.split, self.scored, self.metre = dataset, split, scored, metre
        self.bar, self.beat = bar_steps(metre), beat_steps(metre)
        self.features = TuneFeatures()
        self.place = in_one_key if getattr(dataset, "transpose", False) else lambda pieces: pieces  # see TRANSPOSED
        count = len(dataset.split(split))
        self.rows = subset(count, samples, 0, "unseen")  # of unseen pieces that samples are compared with
        self.samples = len(self.rows)

    @cached_property
    def train(self) -> Pieces:
        return pieces_of(read_all(self.dataset.split("train"), "x"), self.dataset.spec)

    @cached_property
    def unseen(self) -> Pieces:
        return pieces_of(self.dataset.split(self.split).batch(self.rows)["x"], self.dataset.spec)

    @cached_property
    def described(self) -> dict[str, Any]:
        """All that the numbers depend on but the model, in plain JSON: the protocol of a record."""
        splits = {name: self.dataset.split(name) for name in ("train", self.split)}
        names = self.unseen.names
        found = {
            "suite": "music",
            "revision": REVISION,
            "data": self.dataset.name,
            "hashes": self.dataset.hashes(),
            "split": self.split,
            "split_sha256": {name: digest(read_all(split, "x")) for name, split in splits.items()},
            "samples": self.samples,
            "windows": self.windows,
            "bar": f"{self.metre}: {self.bar} steps",
            "chords": f"pitch classes of the lower voices at each beat of {self.beat} steps",
            "keys": TRANSPOSED if self.place is in_one_key else "as they are",
            "features": f"{self.features.name} (SHA-256 {self.features.weights_sha256})",
        }
        if self.dataset.spec.kind != "roll":
            found |= {
                "pieces_scored": len(self.rows_scored),
                "voice_steps": self.to_score.voice_steps,
                "frames": self.to_score.frames,
                "onsets": self.to_score.onsets,
                "end": "its nats count, and so do its voice-step and frame" if END in names else "pieces have no end",
                "symbols": len(names),
                "ngram_order": ORDER,
            }
        return found

    @cached_property
    def windows(self) -> int:
        """Windows of each voice whose features are compared: as many as the unseen pieces have."""
        return min(WINDOWS, len(tokens(self.unseen, self.bar, 0)))

    @cached_property
    def rows_scored(self) -> np.ndarray:
        return subset(len(self.dataset.split(self.split)), self.scored, 0, "scored")

    @cached_property
    def to_score(self) -> Scored:
        return self.read(self.dataset.split(self.split), self.rows_scored)

    def read(self, split: Split, rows: np.ndarray) -> Scored:
        return scored_of(split.batch(rows), self.dataset.spec.x.names)

    # Metrics of samples

    @cached_property
    def distance(self) -> WindowDistance:
        return WindowDistance(self.placed, self.bar, self.features)

    @cached_property
    def motifs(self) -> Motifs:
        return Motifs(self.train)

    @cached_property
    def placed(self) -> Pieces:
        """The training pieces as they are compared."""
        return self.place(self.train)

    @cached_property
    def histograms(self) -> dict[str, np.ndarray]:
        return histograms(self.placed, self.bar)

    def measure(self, pieces: Pieces) -> dict[str, float]:
        """All metrics of samples."""
        placed = self.place(pieces)
        found, training = histograms(placed, self.bar), self.histograms
        compared = subset(len(self.train), self.samples, 0, "compared")
        overlaps = {name: overlap(found[name].sum(axis=0), training[name].sum(axis=0)) for name in found}
        return {
            f"{FD}_{self.features.name}": self.distance(placed, self.windows),
            "overlap": float(np.mean(list(overlaps.values()))),
            **{f"overlap_{name}": value for name, value in overlaps.items()},
            "oa": float(np.mean([overlapped_area(found[name], training[name][compared]) for name in found])),
            "scale": scale_consistency(found["pitch_class"]),
            "groove": groove_consistency(pieces, self.bar),
            **self.measure_voices(pieces),
            **self.motifs.metrics(pieces),
        }

    def measure_voices(self, pieces: Pieces) -> dict[str, float]:
        """Metrics of several voices; none of one voice."""
        if pieces.voices == 1:
            return {}
        return errors(pieces, self.ranges) | fit_of(pieces, self.beat)

    @cached_property
    def ranges(self) -> np.ndarray:
        return ranges(self.train)

    # Controls

    def controls(self, cache: Path) -> dict[str, dict[str, Any]]:
        """The metrics of each control, from the cache if they are there."""
        return cached_controls(cache, self.described, self.measure_controls)

    def measure_controls(self) -> dict[str, dict[str, Any]]:
        print(f"measuring real music of {self.dataset.name} and its controls first, once for all runs", flush=True)
        random = np.random.default_rng(0)
        training = self.train[random.integers(len(self.train), size=self.samples)]
        drawn, likelihoods = self.baselines()
        controls = {
            "real": self.unseen,
            **drawn,
            "hold": held_notes(self.unseen),
            "shuffled_bars": shuffled_bars(self.unseen, self.bar, random),
            **({"other_bass": other_bass(self.unseen)} if self.unseen.voices > 1 else {}),
            "uniform": noise(self.unseen, random),
            "training_copies": training,
        }
        found = {name: self.measure(pieces) | likelihoods.get(name, {}) for name, pieces in controls.items()}
        if "melody" in self.dataset.spec.fields:  # of these the melody is that of an unseen piece
            for name in ("real", "other_bass"):
                found[name] |= {f"{HARMONY}_{key}": value for key, value in self.measure_voices(controls[name]).items()}
        return found

    def baselines(self) -> tuple[dict[str, Pieces], dict[str, dict[str, float]]]:
        """(samples, likelihoods) of models that count, by name of the control; of piano rolls there is none."""
        spec = self.dataset.spec
        if spec.kind == "roll":
            return {}, {}
        split, scored = self.dataset.split("train"), self.to_score
        seen = self.read(split, np.arange(len(split)))
        ngrams = NoteNGrams(seen)
        symbols = sum(name != PAD for name in spec.x.names)
        by_voice = {
            "ngram": ngrams.nats(scored),
            "hold": held(seen, scored),
            "uniform": np.full(scored.x.shape[2], scored.frames * np.log(symbols)),
        }
        found = {name: scored.in_units(float(nats.sum())) for name, nats in by_voice.items()}
        if "melody" in spec.fields:
            for name, nats in by_voice.items():
                found[name] |= harmony_units(scored, float(nats[1:].sum()))
        return {"ngram": Pieces(ngrams.sample(self.samples), spec.x.names)}, found


def crossfades(paths: np.ndarray, a: np.ndarray, b: np.ndarray) -> dict[str, dict[str, float]]:
    """What a way between pieces scores that needs no model, and the same in random order: see `interpolation`."""
    found = crossfade(a, b, paths.shape[1])
    random = np.random.default_rng(0)
    return {"crossfade": monotone(found, a, b), "crossfade_shuffled": monotone(shuffled(found, random), a, b)}


def harmony_units(scored: Scored, nats: float) -> dict[str, float]:
    """A sum of nats of all voices but the highest as metrics of a record."""
    return {f"{HARMONY}_{key}": value for key, value in scored.voice(1).in_units(nats).items()}


def held_notes(pieces: Pieces) -> Pieces:
    """The first note of each voice, and what is before it, held as long as the piece lasts."""
    later = np.cumsum(pieces.onsets, axis=1) - pieces.onsets > 0  # a note has begun before
    return Pieces(np.where(later & pieces.counted[:, :, None], pieces.hold, pieces.x), pieces.names)


def shuffled_bars(pieces: Pieces, bar: int, random: np.random.Generator) -> Pieces:
    """The whole bars of each piece in another order, with all voices."""
    x = pieces.x.copy()
    for piece, count in zip(x, pieces.length // bar, strict=True):
        bars = piece[: count * bar].reshape(count, bar, -1)
        piece[: count * bar] = bars[random.permutation(count)].reshape(count * bar, -1)
    return Pieces(x, pieces.names)


def other_bass(pieces: Pieces) -> Pieces:
    """Pieces of one length whose lowest voice is that of the next piece."""
    x = pieces.x.copy()
    x[..., -1] = np.roll(x[..., -1], 1, axis=0)
    return Pieces(x, pieces.names)


def noise(pieces: Pieces, random: np.random.Generator) -> Pieces:
    """Random symbols that are neither END nor PAD, as long as each piece lasts."""
    symbols = [number for number, name in enumerate(pieces.names) if name not in (PAD, END)]
    drawn = random.choice(symbols, size=pieces.x.shape)
    return Pieces(np.where(pieces.counted[:, :, None], drawn, pieces.x), pieces.names)
