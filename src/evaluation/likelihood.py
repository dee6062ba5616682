"""The likelihood of unseen sequences of symbols, or of images, with simple models as baselines; and copies of training text.

The unit is nats per symbol, -sum log p / number of symbols over all scored samples: a sum divided by a sum, so that short
samples weigh less than long ones.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np

from src.config.errors import UserError
from src.data.dataset import Dataset
from src.data.spec import Spec
from src.evaluation import image_likelihood
from src.evaluation.metrics.sequences import Sequences, longest_copies
from src.evaluation.scoring import BATCH, score, subset
from src.evaluation.suite import Column, Main, record
from src.models.capabilities import Likelihood, Samples
from src.models.conditions import conditions_for
from src.models.model import Model
from src.parallel.collectives import from_first, shared

COLUMNS = [
    Column("nats", "nats / symbol", "negative log-likelihood per symbol of unseen samples"),
    Column("bits", "bits / symbol", "the same in bits: nats / log 2"),
    Column("perplexity", "perplexity", "exp(nats): among how many equally probable symbols the model chooses"),
]
COPY_COLUMNS = [
    Column(
        "copied_ngram", "longest copy", "the longest run of symbols that a sample shares with a training sample, on average"
    ),
    Column("copied_half", "half copied", "share of samples half of which, in one run, a training sample contains"),
]
CONTROL_NAMES = {
    "bigram": "bigram model (baseline)",
    "unigram": "unigram model (baseline)",
    "uniform": "uniform over the vocabulary",
    "real": "unseen real samples",
    "training_copies": "copies of training samples",
}


class LikelihoodSuite:
    """Nats per symbol, or per image, for models with the Likelihood capability.

    samples: most samples of the split that are scored, drawn by seed; None for all. validation_samples: same for `validate`.
    seed: seed of random subsets; sample i of the model has seed + i. split: split of the final evaluation.
    copies: number of the model's samples that are searched for copies of training data; 0 for none.
    device: device of the final evaluation, None for the model's. cache: not used; every suite takes one.
    """

    main = Main("nats", "lower")
    better = main.better

    def __init__(
        self,
        samples: int | None = None,
        validation_samples: int | None = 512,
        seed: int = 1_000_000,
        split: str = "test",
        copies: int = 256,
        device: str | None = None,
        cache: str | Path | None = None,
    ) -> None:
        self.samples, self.validation_samples, self.seed, self.split = samples, validation_samples, seed, split
        self.copies, self.device = copies, device

    def check(self, spec: Spec) -> None:
        """See Suite."""
        symbols = spec.kind == "tokens" and "int" in spec.x.dtype and spec.x.names
        if not symbols and not (spec.kind == "image" and spec.x.dtype == "uint8"):
            raise UserError(
                "evaluation=likelihood scores symbols of a vocabulary, or the levels of images, and the data are "
                f"{spec.kind}: take another evaluation="
            )
        if symbols and len(spec.shape) != 1:
            raise UserError(f"evaluation=likelihood scores sequences [T], not voices {list(spec.shape)}: take evaluation=music")

    def check_model(self, model: Model) -> None:
        if not isinstance(model, Likelihood):
            raise UserError(f"{type(model).__name__} has no likelihood (nll): take another evaluation=")

    def validate(self, model: Model, dataset: Dataset) -> float:
        """See Suite."""
        split = dataset.split("validation")
        rows = subset(len(split), self.validation_samples, self.seed, "validation")
        return score(model, dataset.spec, split, rows)[0] * self.symbols_of(dataset.spec)

    def symbols_of(self, spec: Spec) -> int:
        """Symbols per unit of `main`: 1, or the C * H * W of an image."""
        return math.prod(spec.shape) if spec.kind == "image" else 1

    def evaluate(self, model: Model, dataset: Dataset, modality: Any, folder: Path) -> dict[str, Any]:
        """See Suite; nothing is written to the folder."""
        self.check(dataset.spec)
        if self.device:
            model.to(self.device)
        split = dataset.split(self.split)
        rows = subset(len(split), self.samples, self.seed, "scored")
        if dataset.spec.kind == "image":
            return self.evaluate_images(model, dataset, rows)
        nats, symbols = score(model, dataset.spec, split, rows, final=True)
        metrics, columns = in_units(nats), COLUMNS
        controls = from_first(lambda: baselines(dataset, Sequences.of(split.batch(rows))))
        if isinstance(model, Samples) and self.copies:
            found, copy_controls = self.search_copies(model, dataset)
            metrics, columns, controls = metrics | found, columns + COPY_COLUMNS, controls | copy_controls
        protocol = {
            "suite": "likelihood",
            "data": dataset.name,
            "hashes": dataset.hashes(),
            "split": self.split,
            "samples": len(rows),
            "symbols": symbols,
            "length": dataset.spec.shape[0],
            "vocabulary": len(dataset.spec.x.names),
            "copies": self.copies,
            "seed": self.seed,
        }
        names = {name: CONTROL_NAMES[name] for name in controls}
        return record(self.main, columns, metrics, controls, names, protocol, device=str(model.device))

    def evaluate_images(self, model: Model, dataset: Dataset, rows: np.ndarray) -> dict[str, Any]:
        """`evaluate` for these rows of images."""
        found, field = image_likelihood.measure(model, dataset, self.split, rows), dataset.spec.x
        protocol = {
            "suite": "likelihood",
            "data": dataset.name,
            "hashes": dataset.hashes(),
            "split": self.split,
            "samples": len(rows),
            "dimensions": math.prod(field.shape),
            "levels": field.levels,
            "seed": self.seed,
        }
        names = image_likelihood.CONTROL_NAMES
        columns = image_likelihood.COLUMNS
        return record(
            self.main, columns, found.metrics, found.controls, names, protocol, bounds=found.bounds, device=str(model.device)
        )

    def search_copies(self, model: Samples, dataset: Dataset) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
        """The copy metrics of the model's samples, and of the controls: unseen real samples and training samples."""
        seeds = range(self.seed, self.seed + self.copies)
        unseen, train = dataset.split(self.split), dataset.split("train")
        reads_source = "source" in model.conditions([0])

        def draw(rows: slice) -> np.ndarray:
            cond = model.conditions(seeds[rows])
            if reads_source:
                cond |= conditions_for(model, unseen, np.arange(self.copies)[rows] % len(unseen), seeds[rows])
            return model.sample(seeds[rows], cond).numpy()

        parts = shared(draw, self.copies, BATCH)

        def search() -> dict[str, dict[str, float]]:
            groups = {
                "model": Sequences.of({"x": np.concatenate(parts)}),
                "real": Sequences.of(unseen.batch(subset(len(unseen), self.copies, self.seed, "real"))),
                "training_copies": Sequences.of(train.batch(subset(len(train), self.copies, self.seed, "copies"))),
            }
            source = Sequences.of(train.batch(np.arange(len(train))))
            return {name: copies_in_units(group, longest_copies(group, source)) for name, group in groups.items()}

        controls = from_first(search)
        return controls.pop("model"), controls


def in_units(nats: float) -> dict[str, float]:
    """Nats per symbol in the three units of COLUMNS."""
    return {"nats": nats, "bits": nats / math.log(2), "perplexity": float(np.exp(nats))}


# Baselines


def baselines(dataset: Dataset, scored: Sequences) -> dict[str, dict[str, float]]:
    """Nats per symbol of the scored samples under count-based models. Overlaps of training samples are counted each time.

    unigram: p(b) = (c(b) + 1) / (N + V), for N symbols in training.
    bigram: p(b | a) = (c(a, b) + t(a) p(b)) / (c(a) + t(a)), where t(a) counts the different symbols seen after a (Witten and
    Bell 1991, method C, on top of the unigram model); a start symbol comes before the first symbol of a sample.
    """
    train, vocabulary = dataset.split("train"), len(dataset.spec.x.names)
    seen = Sequences.of(train.batch(np.arange(len(train))))
    counts = np.bincount(seen.symbols, minlength=vocabulary)
    p = (counts + 1) / (counts.sum() + vocabulary)  # [V]

    pairs, pair_counts = np.unique(seen.before * vocabulary + seen.symbols, return_counts=True)
    after = np.bincount(seen.before, minlength=vocabulary + 1)  # c(a), [V + 1]
    different = np.bincount(pairs // vocabulary, minlength=vocabulary + 1)  # t(a), [V + 1]
    wanted = scored.before * vocabulary + scored.symbols
    place = np.searchsorted(pairs, wanted).clip(max=len(pairs) - 1)
    together = np.where(pairs[place] == wanted, pair_counts[place], 0)  # c(a, b), of each scored symbol
    a, b = scored.before, scored.symbols
    unseen = after[a] == 0  # then p(b | a) = p(b)
    bigram = np.where(unseen, p[b], (together + different[a] * p[b]) / np.maximum(after[a] + different[a], 1))
    return {
        "bigram": in_units(float(-np.log(bigram).mean())),
        "unigram": in_units(float(-np.log(p[b]).mean())),
        "uniform": in_units(math.log(vocabulary)),
    }


# Copies


def copies_in_units(samples: Sequences, longest: np.ndarray) -> dict[str, float]:
    """The metrics of COPY_COLUMNS from the longest copies [N] in symbols."""
    return {"copied_ngram": float(longest.mean()), "copied_half": float((2 * longest >= samples.length).mean())}
