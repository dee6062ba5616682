"""Real pictures with captions, and the measurement of what a model, or a control, draws of the captions."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from src.data.dataset import Dataset, Split
from src.data.spec import Spec
from src.data.words import Words, words
from src.evaluation.cache import Arrays, digest
from src.evaluation.extractors.extractor import Extractor
from src.evaluation.image_metrics import scaled
from src.evaluation.metrics.captions import has_hue, mean_hues, named_hue, r_precision
from src.evaluation.metrics.distances import kernel_distance
from src.evaluation.pair_protocol import Reference, read
from src.evaluation.retrieval import overlap, scorer, words_in
from src.evaluation.scoring import in_batches
from src.models.model import Model
from src.runs.export import state_hash
from src.training import rng

FEWEST_OF_GROUP = 20  # pictures, for a kernel distance
OTHERS = 99  # captions beside a picture's own, of R-precision


class Captioned(Reference):
    """Real pictures with their captions, and what is measured with them, see Reference.

    clip: a model that compares pictures with captions, for R-precision; None leaves it out. It reads the captions with all
        their words, if the data tell them (`dataset.captions(split)`), and not only with those of the training part.
    """

    def __init__(self, dataset: Dataset, extractor: Extractor, split: str, samples: int, clip: Model | None) -> None:
        super().__init__(dataset, extractor, split, samples, paired=False)
        self.clip = clip
        field = dataset.spec.fields["caption"]
        self.vocabulary = Words(field.names, field.shape[0])
        self.captions = np.array(dataset.split(split).batch(self.rows)["caption"])  # [N, T]
        texts = dataset.captions(split) if hasattr(dataset, "captions") else None
        self.texts = [
            texts[row] if texts else self.vocabulary.decode(caption)
            for row, caption in zip(self.rows, self.captions, strict=True)
        ]
        self.hues = [named_hue(text.split()) for text in self.texts]

    def described(self, suite: str) -> dict[str, Any]:
        none = "not measured: evaluation.clip names no run of model=clip"
        return super().described(suite) | {
            "captions_sha256": digest(self.captions),
            "r_precision": {"clip": state_hash(self.clip.network().state_dict()), "others": OTHERS} if self.clip else none,
            "captions_with_a_hue": sum(hue is not None for hue in self.hues),
            "groups": {name: len(rows) for name, rows in self.groups.items()},
        }

    def measure(self, candidates: Mapping[str, Tensor], known: Arrays) -> dict[str, dict[str, float]]:
        found = super().measure(candidates, known)
        return {name: metrics | self.agreement(candidates[name]) for name, metrics in found.items()}

    def floor(self, known: Arrays) -> dict[str, float]:
        """See Reference. Of each group, its training pictures take the place of samples."""
        found, key = super().floor(known) | self.agreement(self.targets), self.extractor.key("group_kid")
        if key in found:
            train, labels = torch.from_numpy(known["train"]), self.labels(self.train_split, self.train_rows)
            found[key] = self.group_distance({name: train[labels == name] for name in self.groups}, known)
        return found

    def distances(self, features: Tensor, known: Arrays) -> dict[str, float]:
        """See Reference; and `group_kid`, the mean over the groups of the kernel distance of their rows."""
        found = super().distances(features, known)
        if self.groups:
            of_group = {name: features[rows] for name, rows in self.groups.items()}
            found[self.extractor.key("group_kid")] = self.group_distance(of_group, known)
        return found

    def group_distance(self, of_group: Mapping[str, Tensor], known: Arrays) -> float:
        """The mean of the kernel distances of features [K, D] of a group to those of its real pictures."""
        real, found = torch.from_numpy(known["real"]), []
        for name, features in of_group.items():
            theirs = real[self.groups[name]]
            own, others = scaled(features, theirs, self.extractor), scaled(theirs, theirs, self.extractor)
            found.append(kernel_distance(own, others, seed=0)[0])
        return float(np.mean(found))

    def labels(self, split: Split, rows: np.ndarray) -> np.ndarray:
        """The name of the class of each of these rows, str [N]."""
        return np.array(self.dataset.spec.classes)[split.batch(rows)["y"]]

    @cached_property
    def groups(self) -> dict[str, np.ndarray]:
        """The classes of at least FEWEST_OF_GROUP of the measured pictures, and which of `rows` they are; in order of name.

        A class of fewer training pictures is none.
        """
        if not self.dataset.spec.classes:
            return {}
        labels = self.labels(self.dataset.split(self.split), self.rows)
        trained = self.labels(self.train_split, self.train_rows)
        return {
            str(name): np.flatnonzero(labels == name)
            for name in np.unique(labels)
            if min((labels == name).sum(), (trained == name).sum()) >= FEWEST_OF_GROUP
        }

    def agreement(self, samples: Tensor, order: np.ndarray | None = None) -> dict[str, float]:
        """How far samples uint8 [N, C, H, W] show what the captions say.

        order: which row's sample is looked at for the caption of a row; None for its own.
        """
        shown = samples.numpy() if order is None else samples.numpy()[order]
        found = {}
        if self.clip is not None:
            found["r_precision"] = r_precision(self.scores(self.clip, shown), self.others_of())
        rows = [row for row, hue in enumerate(self.hues) if hue is not None]
        if rows and shown.shape[1] == 3:
            found["colour"] = float(has_hue(mean_hues(shown[rows]), [hue for hue in self.hues if hue is not None]).mean())
        return found

    def scores(self, clip: Model, shown: np.ndarray) -> np.ndarray:
        """Similarities [N pictures, N captions] of pictures uint8 [N, C, H, W], which are resized to the judge's size."""
        field, (_, *size) = clip.spec.fields["caption"], clip.spec.shape
        judged = Words(field.names, field.shape[0])
        captions = np.stack([judged.encode(text) for text in self.texts])
        x = torch.from_numpy(shown)
        if [*x.shape[2:]] != size:
            x = interpolate(x.float(), size, mode="bilinear", antialias=True).round().to(torch.uint8)
        return scorer(clip, clip.spec)(captions, x.numpy()).T

    def others_of(self) -> np.ndarray:
        """For each row, OTHERS rows (fewer if there are fewer) with another caption, int [N, K]."""
        found = []
        for row, text in enumerate(self.texts):
            different = np.array([other for other, its in enumerate(self.texts) if its != text], int)
            chosen = torch.randperm(len(different), generator=rng.generator(0, "R-precision", row))[:OTHERS]
            found.append(different[chosen.numpy()])
        fewest = min(map(len, found))
        return np.stack([rows[:fewest] for rows in found])

    def by_nearest_caption(self) -> Tensor:
        """For each caption, the training picture whose caption has most words in common; the first of equal ones."""
        captions = np.array(self.train_split.batch(self.train_rows)["caption"])
        own, known = (words_in(part, self.vocabulary.names) for part in (self.captions, captions))
        rows = overlap(own, known).argmax(1)
        return read(self.train_split, self.train_rows[rows.numpy()])


def unconditional(model: Any, reference: Reference, seed: int) -> Tensor:
    """Samples of the empty caption, uint8 [N, C, H, W], from the seeds of the reference's rows. Each rank draws a part."""

    def sample(rows: np.ndarray) -> np.ndarray:
        seeds = [seed + int(row) for row in rows]
        return reference.dataset.spec.x.to_data(model.sample(seeds, model.conditions(seeds))).numpy()

    return torch.from_numpy(in_batches(sample, reference.rows))


def composition(
    model: Any, spec: Spec, captions: Sequence[str], seeds: Sequence[int]
) -> tuple[dict[str, float], dict[str, float]]:
    """{"composition": share of seeds whose samples of two captions both have the hue that theirs names}.

    And the same where each has the hue of the other. Both empty if a word of them is unknown. Each rank draws a part.
    """
    vocabulary = Words(spec.fields["caption"].names, spec.fields["caption"].shape[0])
    if spec.shape[0] != 3 or any(vocabulary.unknown(caption) for caption in captions):
        return {}, {}
    names = [cast(str, named_hue(words(caption))) for caption in captions]

    def right(rows: np.ndarray) -> np.ndarray:
        """Whether the two samples of seeds [R] have the named hue, and the other one, bool [R, 2, 2]."""
        found = []
        for caption in captions:
            tokens = torch.from_numpy(vocabulary.encode(caption)).expand(len(rows), -1)
            x = spec.x.to_data(model.sample([seeds[row] for row in rows], {"caption": tokens})).numpy()
            found.append([has_hue(mean_hues(x), [name] * len(rows)) for name in names])  # own and other, by caption
        return np.array(found).transpose(2, 0, 1)

    both = in_batches(right, np.arange(len(seeds)))
    own, other = both[:, 0, 0] & both[:, 1, 1], both[:, 0, 1] & both[:, 1, 0]
    return {"composition": float(own.mean())}, {"composition": float(other.mean())}
