"""The measurement of texts and of their controls: what does not depend on the model is computed once, and cached."""

import json
import sys
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from src.data.dataset import Dataset, Split, read_all
from src.data.spec import Spec
from src.data.vocabulary import BYTES, END, LOST, PAD, UNKNOWN, joined
from src.evaluation.cache import cached, digest
from src.evaluation.metrics.ngrams import NGrams
from src.evaluation.metrics.quatrains import form_metrics, form_of
from src.evaluation.metrics.sequences import Sequences, longest_copies
from src.evaluation.metrics.text_distance import TextDistance
from src.evaluation.metrics.texts import Training, distinct, groups, lead, nearest_texts, overlap, self_bleu
from src.evaluation.scoring import BATCH, score, subset
from src.evaluation.suite import Column
from src.models.capabilities import SymbolLikelihood
from src.models.model import Model
from src.parallel.collectives import is_first, shared
from src.system.progress import Line

REVISION = 1  # increase it when a metric or a control changes its meaning: older caches are then not used
FD = "fd_pairs"
COPIED = 10  # characters in a row that a sample and a training text share, for the sample to count as copied

COLUMNS = [
    Column("nats", "nats / character", "negative log-likelihood per character of unseen texts; their ends count as characters"),
    Column("perplexity", "perplexity", "exp(nats): among how many equally probable characters the model chooses"),
    Column(FD, "FD ↓", "Fréchet distance of samples to training texts, by which characters follow each other"),
    Column("structure", "structure ↑", "share of samples with the line lengths and the punctuation of the data", "higher"),
    Column("rhyme", "rhyme ↑", "share of samples whose second and fourth line rhyme (Pingshui rhymes)", "higher"),
    Column("tones", "tones ↑", "share of samples that follow the tone rules of regulated verse", "higher"),
    Column("self_bleu", "self-BLEU ↓", "BLEU-4 of each sample with the others as references: high if they repeat each other"),
    *(
        Column(
            f"distinct_{n}", f"distinct-{n} ↑", f"different {n}-grams of characters, divided by all of them", "higher", n != 2
        )
        for n in (1, 2, 3, 4)
    ),
    Column(
        "bleu", "BLEU ↑", "n-grams of characters that samples share with their references, by sacrebleu, 0 to 100", "higher"
    ),
    Column("chrf", "chrF ↑", "F-score of n-grams of characters, by sacrebleu, 0 to 100", "higher"),
    Column("rouge_1", "ROUGE-1 ↑", "F1 of the characters that a sample shares with its reference", "higher", True),
    Column("rouge_2", "ROUGE-2 ↑", "F1 of the pairs of characters that a sample shares with its reference", "higher", True),
    Column("rouge_l", "ROUGE-L ↑", "F1 of the longest common subsequence of a sample and its reference", "higher"),
    Column(
        "copied", "copied", f"share of samples that have {COPIED} characters in a row, or two lines, of a training text", None
    ),
    Column("near_copies", "near copies", "share of samples at most two edits away from a training text", None),
    Column("copied_ngram", "longest copy", "the longest run of characters shared with a training text, on average", None, True),
]
CONTROL_NAMES = {
    "real": "unseen real text (floor)",
    "ngram_4": "4-gram model (baseline)",
    "bigram": "bigram model (baseline)",
    "unigram": "unigram model (baseline)",
    "shuffled": "real text, characters shuffled",
    "training_copies": "copies of training text",
    "lead": "first sentence of the source",
    "nearest": "target of the most similar training source",
}
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

    def score_part(part: slice) -> np.ndarray:
        line, found = Line(sys.stderr), []
        for start in range(part.start, part.stop, BATCH):
            chosen = rows[start : min(start + BATCH, part.stop)]
            batch = {name: torch.from_numpy(values).to(model.device) for name, values in split.batch(chosen).items()}
            found.append(model.nll_by_symbol(spec.to_model(batch, model.dtype))[0].cpu().double().numpy())
            if show and is_first():
                line.count(start + len(chosen) - part.start, part.stop - part.start, "texts scored")
        line.end()
        return np.concatenate(found)

    return scored.measure(np.concatenate(shared(score_part, len(rows), BATCH)))


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
        }

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
        parts = groups(len(texts), self.group)
        found = [distinct(texts[rows]) | {"self_bleu": self_bleu(texts[rows])} for rows in parts]
        metrics = {key: float(np.mean([metrics[key] for metrics in found])) for key in found[0]}
        distances = [self.distance(texts[rows]) for rows in parts]
        return metrics | {FD: float(np.mean(distances))}

    @cached_property
    def distance(self) -> TextDistance:
        return TextDistance(self.train)

    @cached_property
    def training(self) -> Training:
        return Training(self.train)

    # Controls

    def controls(self, cache: Path) -> dict[str, dict[str, Any]]:
        """The metrics of each control, from the cache if they are there."""
        found = cached(cache, self.described, lambda: {"controls": np.array(json.dumps(self.measure_controls()))})
        return json.loads(str(found["controls"]))

    def measure_controls(self) -> dict[str, dict[str, Any]]:
        print(f"measuring real text of {self.dataset.name} and its controls first, once for all runs", flush=True)
        random = np.random.default_rng(0)
        found: dict[str, dict[str, Any]] = {"real": self.measure(self.unseen[: self.samples])}
        seen = self.dataset.split("train")
        training = Sequences.of(seen.batch(np.arange(len(seen))))
        symbols = np.array([number for number, name in enumerate(self.names) if name != PAD])
        end = list(self.names).index(END) if END in self.names else None
        for name, n in NGRAM_ORDERS.items():
            ngrams = NGrams(training, n, symbols)
            drawn = texts_of(ngrams.sample(self.samples, self.dataset.spec.shape[0], end, seed=0), self.names)
            found[name] = self.to_score.measure(ngrams.nats(self.to_score.samples)) | self.measure(drawn)
        shuffled = ["".join(random.permutation(list(text))) for text in self.unseen[: self.samples]]
        copies = [self.train[row] for row in random.integers(len(self.train), size=self.samples)]
        found |= {"shuffled": self.measure(shuffled), "training_copies": self.measure(copies)}
        if "source" in self.dataset.spec.fields:
            count = min(self.samples, len(self.unseen))
            sources, references = self.texts(self.split, "source")[:count], self.unseen[:count]
            similar = nearest_texts(sources, self.texts("train", "source"))
            found["lead"] = overlap([lead(source) for source in sources], references)
            found["nearest"] = overlap([self.train[row] for row in similar], references)
        return found
