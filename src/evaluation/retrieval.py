"""Retrieval of pictures by captions and of captions by pictures, and classification by the names of classes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from src.config.errors import UserError
from src.data.dataset import Dataset
from src.data.spec import Spec
from src.data.vocabulary import PAD, UNKNOWN
from src.data.words import Words, words
from src.evaluation.metrics.retrieval import CUTS, accuracy, retrieval
from src.evaluation.scoring import in_batches, subset
from src.evaluation.suite import Column, Main, record
from src.modalities.pictures import captioned_strips
from src.models.capabilities import EmbedsFields
from src.models.model import Model
from src.parallel.collectives import from_first, is_first
from src.training import rng

SHUFFLES = 100  # of the pairs, whose mean is the control
LEVELS = 4  # of each colour in a histogram
SHOWN, FIRST = 8, 5  # captions in the picture, and pictures found for each
PICTURE, CAPTION = "captions with a picture of theirs among the first {}", "pictures with their caption among the first {}"
RANK_PICTURE, RANK_CAPTION = "of the first right picture of a caption", "of a picture's caption"
CONTROL_NAMES = {
    "colour_histogram": "words of the training picture with the nearest colours (baseline)",
    "bag_of_words": "colours of the training picture with the nearest words (baseline)",
    "shuffled": "shuffled pairs",
    "most_frequent": "always the class that is most frequent in the split",
}

Score = Callable[[np.ndarray, np.ndarray], np.ndarray]  # captions [C, T], pictures uint8 [P, *shape] -> float [C, P]


class Scores(NamedTuple):
    """Of pictures: by captions, float [M, N], and by the names of classes, float [K, N]; None without classes."""

    texts: np.ndarray
    classes: np.ndarray | None


class Prompts(NamedTuple):
    """The names of the classes as captions, int64 [K, T]; and bool [K], whether a word of them is known."""

    captions: np.ndarray
    known: np.ndarray


class Pairs(NamedTuple):
    """Samples of a split: pictures x uint8 [N, *shape], captions [N, T], classes y [N] if the data have any.

    Equal captions are merged: `texts` [M, T] are different, and `relevant` bool [M, N] says which pictures have them.
    Captions with unknown words are not merged: their words may differ.
    """

    x: np.ndarray
    caption: np.ndarray
    y: np.ndarray | None
    texts: np.ndarray
    relevant: np.ndarray


class RetrievalSuite:
    """How well a model of pictures and captions finds one by the other among the samples of a split, and the baselines.

    samples: most samples of the split. validation_samples: the same, of the validation split. split: of the final evaluation.
    seed: of random subsets and of the shuffled pairs. device: of the final evaluation; None for the model's.
    cache: not used; every suite takes one.
    """

    main = Main("recall", "higher")
    better = main.better
    columns = (
        Column("recall", "mean recall", "mean of the six values of R@k", "higher"),
        *(Column(f"picture_r{k}", f"R@{k} picture", PICTURE.format(k), "higher") for k in CUTS),
        *(Column(f"caption_r{k}", f"R@{k} caption", CAPTION.format(k), "higher") for k in CUTS),
        Column("picture_mean_rank", "mean rank, picture", RANK_PICTURE),
        Column("caption_mean_rank", "mean rank, caption", RANK_CAPTION),
        Column("picture_median_rank", "median rank, picture", RANK_PICTURE, page_only=True),
        Column("caption_median_rank", "median rank, caption", RANK_CAPTION, page_only=True),
        Column("zero_shot", "zero-shot accuracy", "share of right classes, whose names are the captions", "higher"),
    )

    def __init__(
        self,
        samples: int = 1_000,
        validation_samples: int = 1_000,
        seed: int = 0,
        split: str = "test",
        device: str | None = None,
        cache: Path | None = None,
    ) -> None:
        if samples < 2 or validation_samples < 2:
            raise UserError("evaluation.samples and evaluation.validation_samples must be at least 2: there is nothing to find")
        self.samples, self.validation_samples = samples, validation_samples
        self.seed, self.split, self.device = seed, split, device

    def check(self, spec: Spec) -> None:
        """See Suite."""
        if spec.kind != "image" or "caption" not in spec.fields:
            raise UserError("evaluation=retrieval is for pictures with captions: take such data (data=emoji_captions)")

    def check_model(self, model: Model) -> None:
        """See Suite."""
        if not isinstance(model, EmbedsFields):
            raise UserError(f"{type(model).__name__} has no embeddings of captions: take another evaluation=, or model=clip")
        if missing := {"x", "caption"} - set(model.fields):
            raise UserError(f"evaluation=retrieval needs a tower of {' and of '.join(sorted(missing))}: model.network.towers=")

    def validate(self, model: Model, dataset: Dataset) -> float:
        """See Suite."""
        pairs = self.pairs(dataset, "validation", self.validation_samples)
        scores = scorer(model, dataset.spec)(pairs.texts, pairs.x)
        return from_first(lambda: retrieval(scores, pairs.relevant)[self.main.name])

    def evaluate(self, model: Model, dataset: Dataset, modality: Any, folder: Path) -> dict[str, Any]:
        """See Suite. Writes `retrieval.png`: some captions with their picture, and the pictures that are found by them."""
        self.check_model(model)
        if self.device:
            model.to(self.device)
        pairs, prompts = self.pairs(dataset, self.split, self.samples), class_prompts(dataset.spec)
        scores = scores_of(scorer(model, dataset.spec), pairs, prompts)
        if not is_first():
            return {}
        metrics, baselines = measure(scores, pairs, prompts), Baselines(dataset)
        controls = {
            "colour_histogram": measure(scores_of(baselines.by_colours, pairs, prompts), pairs, prompts),
            "bag_of_words": measure(scores_of(baselines.by_words, pairs, prompts), pairs, prompts),
            "shuffled": self.shuffled(scores, pairs, prompts),
        }
        if pairs.y is not None and "zero_shot" in metrics:
            counts = np.bincount(pairs.y, minlength=len(prompts.known))[prompts.known]
            controls["most_frequent"] = {"zero_shot": float(counts.max() / counts.sum())}
        show(scores.texts, pairs, dataset.spec, folder / "retrieval.png")
        protocol = {
            "data": dataset.name,
            "data_sha256": dataset.hashes(),
            "split": self.split,
            "samples": len(pairs.x),
            "samples_asked": self.samples,
            "captions": len(pairs.texts),
            "seed": self.seed,
            "shuffles": SHUFFLES,
            "classes": [name for name, one in zip(dataset.spec.classes, prompts.known, strict=True) if one],
            "histogram": f"{LEVELS} levels of each colour",
        }
        columns = [column for column in self.columns if column.key in metrics]
        return record(self.main, columns, metrics, controls, CONTROL_NAMES, protocol, device=str(model.device))

    def shuffled(self, scores: Scores, pairs: Pairs, prompts: Prompts) -> dict[str, float]:
        """The mean metrics of the same scores if the pictures are those of other samples."""
        found = []
        for k in range(SHUFFLES):
            order = torch.randperm(len(pairs.x), generator=rng.generator(self.seed, "retrieval/shuffled", k)).numpy()
            y = None if pairs.y is None else pairs.y[order]
            found.append(measure(scores, pairs._replace(relevant=pairs.relevant[:, order], y=y), prompts))
        return {name: float(np.mean([one[name] for one in found])) for name in found[0]}

    def pairs(self, dataset: Dataset, split: str, samples: int) -> Pairs:
        """Samples of a split, with equal captions merged."""
        part = dataset.split(split)
        batch = part.batch(subset(len(part), samples, self.seed, f"retrieval/{split}"))
        return merged(batch["x"], batch["caption"], batch.get("y"), dataset.spec.fields["caption"].names)


def merged(x: np.ndarray, caption: np.ndarray, y: np.ndarray | None, names: tuple[str, ...]) -> Pairs:
    """See Pairs. names: of the tokens."""
    unknown = (caption == names.index(UNKNOWN)).any(axis=1) if UNKNOWN in names else np.zeros(len(caption), bool)
    own = np.where(unknown, np.arange(1, len(caption) + 1), 0)  # a number of its own for each that has unknown words
    _, first, text = np.unique(np.column_stack([own, caption]), axis=0, return_index=True, return_inverse=True)
    return Pairs(x, caption, y, caption[first], np.arange(len(first))[:, None] == text.reshape(-1))


def scores_of(score: Score, pairs: Pairs, prompts: Prompts) -> Scores:
    classes = score(prompts.captions, pairs.x) if pairs.y is not None else None
    return Scores(score(pairs.texts, pairs.x), classes)


def measure(scores: Scores, pairs: Pairs, prompts: Prompts) -> dict[str, float]:
    """All metrics. Classes whose names have no known word are left out, with their pictures."""
    metrics = retrieval(scores.texts, pairs.relevant)
    if scores.classes is None or pairs.y is None or not (counted := prompts.known[pairs.y]).any():
        return metrics
    classes = np.where(prompts.known[:, None], scores.classes, -np.inf)
    return {**metrics, "zero_shot": accuracy(classes[:, counted], pairs.y[counted])}


def class_prompts(spec: Spec) -> Prompts:
    """Of the spec's classes; "food-drink" has two words."""
    field = spec.fields["caption"]
    vocabulary = Words(field.names, field.shape[0])
    captions = np.array([vocabulary.encode(name) for name in spec.classes], np.int64)
    known = np.array([len(vocabulary.unknown(name)) < len({*words(name)}) for name in spec.classes], bool)
    return Prompts(captions, known)


def scorer(model: Model, spec: Spec) -> Score:
    """Cosine similarities of a model's embeddings; each rank embeds a part. Equal inputs have exactly equal scores."""
    assert isinstance(model, EmbedsFields)

    def embedded(field: str, values: np.ndarray) -> np.ndarray:
        different, place = np.unique(values, axis=0, return_inverse=True)

        def embed(rows: np.ndarray) -> np.ndarray:
            batch = spec.fields[field].to_model(torch.from_numpy(different[rows]).to(model.device), model.dtype)
            return model.embed_field(field, batch).double().cpu().numpy()

        return in_batches(embed, np.arange(len(different)))[place.reshape(-1)]

    return lambda captions, pictures: exact(embedded("caption", captions), embedded("x", pictures))


def exact(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a b^T of [A, P] and [B, P] as [A, B], with equal results for equal rows, which a product of matrices does not promise."""
    return np.stack([(b * row).sum(axis=1) for row in a])


class Baselines:
    """Scores by the nearest training sample: of a caption by its words, of a picture by its colours.

    Equally near samples count equally. Words are compared by the share of common ones among all (Jaccard), unknown ones left
    out; colours by the intersection of histograms.
    """

    def __init__(self, dataset: Dataset) -> None:
        train = dataset.split("train")
        batch = train.batch(np.arange(len(train)))
        self.names = dataset.spec.fields["caption"].names
        self.words, self.colours = words_in(batch["caption"], self.names), histograms(batch["x"])

    def by_words(self, captions: np.ndarray, pictures: np.ndarray) -> np.ndarray:
        """The colours of the training picture whose caption is nearest, against those of each picture."""
        colours = nearest(overlap(words_in(captions, self.names), self.words)) @ self.colours  # [C, colours]
        return intersection(colours, histograms(pictures)).numpy()

    def by_colours(self, captions: np.ndarray, pictures: np.ndarray) -> np.ndarray:
        """The words of the training picture whose colours are nearest, against those of each caption."""
        weights = nearest(intersection(histograms(pictures), self.colours))  # [P, N]
        return (weights @ overlap(self.words, words_in(captions, self.names))).T.contiguous().numpy()


def words_in(captions: np.ndarray, names: tuple[str, ...]) -> Tensor:
    """Which words captions [N, T] have: float [N, V], without those of SPECIAL tokens. names: of the tokens."""
    found = torch.zeros(len(captions), len(names)).scatter_(1, torch.from_numpy(captions), 1.0)
    found[:, [names.index(name) for name in (PAD, UNKNOWN) if name in names]] = 0
    return found


def histograms(x: np.ndarray) -> Tensor:
    """Shares of LEVELS^C colours in pictures uint8 [N, C, H, W], [N, LEVELS^C]."""
    level = torch.from_numpy(x.astype(np.int64) * LEVELS // 256)  # [N, C, H, W]
    colour = sum(level[:, c] * LEVELS**c for c in range(level.shape[1])).flatten(1)  # [N, H * W]
    counts = torch.zeros(len(x), LEVELS ** level.shape[1]).scatter_add_(1, colour, torch.ones(colour.shape))
    return counts / colour.shape[1]


def intersection(a: Tensor, b: Tensor) -> Tensor:
    """sum_i min(a_i, b_i) of histograms [A, K] and [B, K], [A, B]; a sum of 1 each."""
    return 1 - torch.cdist(a, b, p=1) / 2


def overlap(a: Tensor, b: Tensor) -> Tensor:
    """|a and b| / |a or b| of sets of words [A, V] and [B, V], [A, B]; 0 for empty ones."""
    both = a @ b.T
    return both / (a.sum(1)[:, None] + b.sum(1) - both).clamp(min=1)


def nearest(similarity: Tensor) -> Tensor:
    """Weights [A, B] that sum to 1 over the items of the highest similarity."""
    highest = (similarity == similarity.amax(1, keepdim=True)).to(similarity.dtype)
    return highest / highest.sum(1, keepdim=True)


def show(scores: np.ndarray, pairs: Pairs, spec: Spec, path: Path) -> None:
    """Write SHOWN captions, each with a picture of its own, and the FIRST pictures by score."""
    field = spec.fields["caption"]
    vocabulary = Words(field.names, field.shape[0])
    rows = np.linspace(0, len(pairs.texts) - 1, min(SHOWN, len(pairs.texts))).round().astype(int)
    strips = []
    for row in rows:
        found = np.argsort(-scores[row], kind="stable")[:FIRST]
        strips.append(pairs.x[[pairs.relevant[row].argmax(), *found]].transpose(0, 2, 3, 1))  # [1 + FIRST, H, W, C]
    captioned_strips(strips, [vocabulary.decode(pairs.texts[row]) for row in rows], path)
