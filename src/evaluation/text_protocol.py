"""The measurement of texts and of their controls: what does not depend on the model is computed once, and cached."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from src.data.dataset import Dataset, Split, read_all
from src.data.spec import Spec
from src.data.vocabulary import BYTES, END, LOST, PAD, UNKNOWN, joined
from src.evaluation.cache import cached_controls, digest
from src.evaluation.extractors.quatrains import QuatrainFeatures
from src.evaluation.metrics.mauve import summary
from src.evaluation.metrics.ngrams import NGrams
from src.evaluation.metrics.quatrains import form_metrics, form_of, shuffled_lines
from src.evaluation.metrics.sequences import Sequences, longest_copies
from src.evaluation.metrics.text_distance import TextDistance
from src.evaluation.metrics.texts import Training, distinct, groups, lead, nearest_texts, overlap, self_bleu
from src.evaluation.scoring import score, score_symbols, subset
from src.evaluation.text_columns import COPIED, FD
from src.models.capabilities import SymbolLikelihood
from src.models.model import Model

REVISION = 2  # increase it when a metric or a control changes its meaning: older caches are then not used
COVERED = 0.98  # least share of the training texts' characters that an encoder must know
NGRAM_ORDERS = {"ngram_4": 4, "bigram": 2, "unigram": 1}


# Texts of tokens


def texts_of(x: np.ndarray, names: Sequence[str], length: np.ndarray | None = None) -> list[str]:
    """Tokens [N, T] as strings, up to END or to `length` [N]. PAD is left out, UNKNOWN and stray BYTES become LOST."""
    written = [{PAD: "", END: "", UNKNOWN: LOST}.get(name, name) for name in names]
    stops = np.full(len(x), x.shape[1]) if length is None else length
    if END in names:
        ends = x == list(names).index(END)
        stops = np.minimum(stops, np.where(ends.any(axis=1), ends.argmax(axis=1), x.shape[1]))
    join = joined if BYTES[0] in names else "".join
    return [join([written[token] for token in row[:stop]]) for row, stop in zip(x.tolist(), stops, strict=True)]


def split_texts(split: Split, names: Sequence[str], field: str = "x") -> list[str]:
    """All texts of a field of a split."""
    batch = split.batch(np.arange(len(split)))
    return texts_of(batch[field], names, batch.get("length" if field == "x" else f"{field}_length"))


def code_points(texts: Sequence[str]) -> Sequences:
    """Texts as sequences of their characters' code points."""
    length = np.array([len(text) for text in texts], np.int64)
    x = np.zeros((len(texts), max(1, length.max(initial=0))), np.int64)
    x[np.arange(x.shape[1]) < length[:, None]] = np.frombuffer("".join(texts).encode("utf-32-le"), "<u4")
    return Sequences(x, length)


# Likelihood


class Scored:
    """The symbols of texts that a likelihood is measured of: all that count but UNKNOWN and BYTES.

    Those are characters that the training texts do not have. Divided is by characters: a symbol has as many as its name, END
    has one. So a text has the same number of them in every vocabulary.
    """

    def __init__(self, samples: Sequences, names: Sequence[str]) -> None:
        unscored = {PAD, UNKNOWN, *BYTES}
        masked = [number for number, name in enumerate(names) if name in unscored]
        self.samples = samples
        self.counted = samples.counted & ~np.isin(samples.x, masked)  # [N, T]
        sizes = np.array([1 if name == END else len(name) for name in names])
        self.characters = int(sizes[samples.x][self.counted].sum())

    def measure(self, nats: np.ndarray) -> dict[str, Any]:
        """Metrics from the nats of each symbol, [N, T]. `nats_by_position`: the mean at each position, as long as texts go."""
        kept = np.where(self.counted, nats, 0.0)
        there = self.counted.sum(axis=0)
        positions = len(there) if there.all() else int((there == 0).argmax())
        curve = kept.sum(axis=0)[:positions] / there[:positions]
        return in_units(float(kept.sum() / self.characters)) | {"nats_by_position": curve.round(4).tolist()}


def in_units(nats: float) -> dict[str, float]:
    return {"nats": nats, "perplexity": float(np.exp(nats))}


def likelihood(model: Model, spec: Spec, split: Split, rows: np.ndarray, show: bool = False) -> dict[str, Any]:
    """Metrics of the likelihood of these rows of a split. Each rank scores a part of them. show: whether rank 0 counts them.

    A model that cannot tell the nats of each symbol has no curve, and itself decides whether they include those of UNKNOWN.
    """
    scored = Scored(Sequences.of(split.batch(rows)), spec.x.names)
    if not isinstance(model, SymbolLikelihood):
        nats, symbols = score(model, spec, split, rows, final=show)
        return in_units(nats * symbols / max(scored.characters, 1))
    return scored.measure(score_symbols(model, spec, split.batch, rows, "texts" if show else ""))


# Samples


class Reference:
    """Real text, and what is measured with it: metrics of samples, and the controls.

    split: of the unseen texts. samples: of the model. scored: most texts whose likelihood is measured. group: see TextSuite.
    """

    def __init__(self, dataset: Dataset, split: str, samples: int, scored: int, group: int) -> None:
        self.dataset, self.split, self.samples, self.scored = dataset, split, samples, scored
        self.names = dataset.spec.x.names
        self.train, self.unseen = self.texts("train"), self.texts(split)
        self.group = min(group, samples, len(self.unseen))
        self.form = form_of(self.train)

    def texts(self, split: str, field: str = "x") -> list[str]:
        return split_texts(self.dataset.split(split), self.names, field)

    @cached_property
    def described(self) -> dict[str, Any]:
        """All that the numbers depend on but the model, in plain JSON: the protocol of a record."""
        splits = {name: self.dataset.split(name) for name in ("train", self.split)}
        return {
            "suite": "text",
            "revision": REVISION,
            "data": self.dataset.name,
            "hashes": self.dataset.hashes(),
            "split": self.split,
            "split_sha256": {name: digest(read_all(split, "x")) for name, split in splits.items()},
            "samples": self.samples,
            "group": self.group,
            "texts_scored": len(self.rows),
            "characters_scored": self.to_score.characters,
            "end": "its nats count, and it counts as one character" if END in self.names else "texts have no end",
            "unknown": "characters that training does not have are read, not scored",
            "vocabulary": len(self.names),
            "form": self.form or "none",
            "features": self.features_described,
        }

    @cached_property
    def features(self) -> QuatrainFeatures | None:
        """The encoder of quatrains, if the training texts are quatrains and it knows their characters; else None."""
        if not self.form:
            return None
        encoder = QuatrainFeatures()
        return encoder if encoder.alphabet.coverage(self.train) >= COVERED else None

    @property
    def features_name(self) -> str:
        """The features of the divergence, which end its key."""
        return self.features.name if self.features else "pairs"

    @property
    def features_described(self) -> str:
        if self.features:
            return f"{self.features.name} (SHA-256 {self.features.weights_sha256}): quatrains whose characters it knows"
        why = f"the encoder of quatrains knows less than {COVERED:.0%} of the characters" if self.form else "no quatrains"
        return f"pairs of characters: {why}"

    @cached_property
    def rows(self) -> np.ndarray:
        return subset(len(self.dataset.split(self.split)), self.scored, 0, "scored")

    @cached_property
    def to_score(self) -> Scored:
        return Scored(Sequences.of(self.dataset.split(self.split).batch(self.rows)), self.names)

    # Metrics of samples

    def measure(self, texts: Sequence[str]) -> dict[str, float]:
        """All metrics of samples but those that need sources."""
        longest = longest_copies(code_points(texts), code_points(self.train))
        whole = [length >= COPIED or self.training.shares_two_lines(text) for text, length in zip(texts, longest, strict=True)]
        return {
            **self.variety(texts),
            **(form_metrics(texts, self.form) if self.form else {}),
            "copied": float(np.mean(whole)),
            "near_copies": float(np.mean(self.training.near(texts))),
            "copied_ngram": float(longest.mean()),
        }

    def variety(self, texts: Sequence[str]) -> dict[str, float]:
        """Metrics that depend on the number of texts: means over groups of equal size."""
        parts = [texts[rows] for rows in groups(len(texts), self.group)]
        found = [distinct(part) | {"self_bleu": self_bleu(part)} for part in parts]
        metrics = {key: float(np.mean([metrics[key] for metrics in found])) for key in found[0]}
        metrics[FD] = float(np.mean([self.pairs(part) for part in parts]))
        if self.features:
            metrics[f"fd_{self.features_name}"] = float(np.mean([self.distance(part) for part in parts]))
        mean, spread = summary([self.distance.mauve(part) for part in parts])
        return metrics | {f"mauve_{self.features_name}": mean, f"mauve_range_{self.features_name}": spread}

    def trade(self, texts: Sequence[str]) -> dict[str, float]:
        """`self_bleu` and `fd` in the best features there are, both means over groups: diversity and quality."""
        parts = [texts[rows] for rows in groups(len(texts), self.group)]
        return {"self_bleu": float(np.mean([*map(self_bleu, parts)])), "fd": float(np.mean([*map(self.distance, parts)]))}

    @cached_property
    def pairs(self) -> TextDistance:
        return TextDistance(self.train)

    @cached_property
    def distance(self) -> TextDistance:
        """In the features of the encoder, else in those of pairs."""
        return TextDistance(self.train, self.features) if self.features else self.pairs

    @cached_property
    def training(self) -> Training:
        return Training(self.train)

    # Controls

    def controls(self, cache: Path) -> dict[str, dict[str, Any]]:
        """The metrics of each control, from the cache if they are there."""
        return cached_controls(cache, self.described, self.measure_controls)

    def measure_controls(self) -> dict[str, dict[str, Any]]:
        print(f"measuring real text of {self.dataset.name} and its controls first, once for all runs", flush=True)
        random, drawn = np.random.default_rng(0), dict[str, list[str]]()
        found: dict[str, dict[str, Any]] = {"real": self.measure(self.unseen[: self.samples])}
        seen = self.dataset.split("train")
        training = Sequences.of(seen.batch(np.arange(len(seen))))
        symbols = np.array([number for number, name in enumerate(self.names) if name != PAD])
        end = list(self.names).index(END) if END in self.names else None
        for name, n in NGRAM_ORDERS.items():
            ngrams = NGrams(training, n, symbols)
            drawn[name] = texts_of(ngrams.sample(self.samples, self.dataset.spec.shape[0], end, seed=0), self.names)
            found[name] = self.to_score.measure(ngrams.nats(self.to_score.samples)) | self.measure(drawn[name])
        real = self.unseen[: self.samples]
        cheats = {"shuffled": ["".join(random.permutation(list(text))) for text in real]}
        if self.form:
            cheats = {"lines_shuffled": [shuffled_lines(text, random) for text in real]} | cheats
        cheats["training_copies"] = [self.train[row] for row in random.integers(len(self.train), size=self.samples)]
        found |= {name: self.measure(texts) for name, texts in cheats.items()}
        if "source" in self.dataset.spec.fields:
            count = min(self.samples, len(self.unseen))
            sources, references = self.texts(self.split, "source")[:count], self.unseen[:count]
            for name, texts in (drawn | cheats).items():
                found[name] |= overlap(texts[:count], references)
            similar = nearest_texts(sources, self.texts("train", "source"))
            found["lead"] = overlap([lead(source) for source in sources], references)
            found["nearest"] = overlap([self.train[row] for row in similar], references)
        return found
