"""Real pairs of pictures, and the measurement of what a model, or a control, makes of their sources.

What does not depend on the model is computed once, and cached. Everything is measured of uint8 pictures.
"""

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from src.config.errors import Diverged, UserError
from src.data.dataset import Dataset, Split
from src.data.unpaired import Unpaired
from src.evaluation.cache import Arrays, cached, cached_controls, digest
from src.evaluation.extractors.extractor import Extractor
from src.evaluation.image_metrics import FEWEST, NEIGHBOURS, scaled
from src.evaluation.metrics import pairs
from src.evaluation.metrics.distances import frechet_distance, kernel_distance, statistics
from src.evaluation.metrics.neighbours import closeness, copies, radii
from src.evaluation.pair_columns import HOLE
from src.evaluation.scoring import in_batches, subset
from src.models.conditions import conditions_for

REVISION = 1  # increase it when a metric or a control changes its meaning: older caches are then not used
TRAINING = 10_000  # most training pairs that are searched for copies and for the most similar source


def distinct(split: Split) -> int:
    """Number of the rows, from the first on, that hold each x of a split once."""
    return len(split.x) if isinstance(split, Unpaired) else len(split)


def read(split: Split, rows: np.ndarray, field: str = "x") -> Tensor:
    """uint8 [N, C, H, W], a copy."""
    return torch.from_numpy(np.array(split.batch(rows)[field]))


def conditions(model: Any, split: Split, rows: np.ndarray, seed: int) -> dict[str, Tensor]:
    """The conditions of the samples of these rows; row r has the seed seed + r."""
    seeds = [seed + int(row) for row in rows]
    return model.conditions(seeds) | conditions_for(model, split, rows, seeds)


def draw(model: Any, dataset: Dataset, split: str, rows: np.ndarray, seed: int, show: bool = False) -> Tensor:
    """Samples uint8 [N, C, H, W] from the conditions of these rows of a split. Each rank draws a part of them."""
    part = dataset.split(split)

    def sample(rows: np.ndarray) -> np.ndarray:
        found = model.sample([seed + int(row) for row in rows], conditions(model, part, rows, seed))
        if found.isnan().any():
            raise Diverged("the samples contain NaN: the model has diverged, lower its learning rates")
        return dataset.spec.x.to_data(found).numpy()

    return torch.from_numpy(in_batches(sample, rows, "samples" if show else ""))


def masks_of(model: Any, dataset: Dataset, split: str, rows: np.ndarray, seed: int) -> Tensor:
    """The holes of the samples that `draw` draws, bool [N, 1, H, W]."""
    part = dataset.split(split)
    return torch.from_numpy(in_batches(lambda rows: (conditions(model, part, rows, seed)["mask"] > 0.5).cpu().numpy(), rows))


class Perceptual:
    """Perceptual distances to the same targets uint8 [N, C, H, W], whose features are kept: 1.4 MB each of EfficientNet's."""

    def __init__(self, targets: Tensor, extractor: Extractor) -> None:
        self.extractor = extractor
        self.targets = [extractor.stages(part)[0] for part in targets.split(extractor.batch_size)]

    def __call__(self, samples: Tensor) -> float:
        parts = zip(samples.split(self.extractor.batch_size), self.targets, strict=True)
        return torch.cat([pairs.perceptual(self.extractor.stages(x)[0], y) for x, y in parts]).mean().item()


class Together:
    """Fréchet distances to the same pictures uint8 [N, C, H, W], as a set."""

    def __init__(self, targets: Tensor, extractor: Extractor) -> None:
        self.extractor, self.statistics = extractor, statistics(extractor(targets).features)

    def __call__(self, samples: Tensor) -> float:
        return frechet_distance(statistics(self.extractor(samples).features), self.statistics)


class Reference:
    """Real pairs, and what is measured with them: metrics of samples, and the controls.

    split: of the unseen pairs. samples: most of them. paired: whether source and x of an unseen row belong together.
    masks: the holes bool [N, 1, H, W] of `rows`, if samples only fill them.
    """

    def __init__(self, dataset: Dataset, extractor: Extractor, split: str, samples: int, paired: bool = True) -> None:
        self.dataset, self.extractor, self.split, self.paired = dataset, extractor, split, paired
        self.train_split, unseen = dataset.split("train"), dataset.split(split)
        self.train_rows = subset(distinct(self.train_split), TRAINING, 0, "training pairs")
        self.samples_asked = samples
        self.rows = subset(len(unseen), min(samples, len(self.train_rows)), 0, "pairs")
        self.targets, self.train = read(unseen, self.rows), read(self.train_split, self.train_rows)
        self.masks: Tensor | None = None
        if len(self.rows) < 2:
            raise UserError(f"the split {split} has fewer than two pairs to measure: take more data")

    @property
    def train_paired(self) -> bool:
        """Whether source and x of a training row belong together."""
        return self.paired and not isinstance(self.train_split, Unpaired)

    @cached_property
    def validation(self) -> Tensor:
        split = self.dataset.split("validation")
        return read(split, subset(distinct(split), len(self.rows), 0, "pairs"))

    def described(self, suite: str) -> dict[str, Any]:
        """All that the numbers depend on but the model, in plain JSON: the protocol of a record."""
        unseen, fields = self.dataset.split(self.split), self.dataset.spec.fields
        sources = [field for field in ("source",) if field in fields]
        return {
            "suite": suite,
            "revision": REVISION,
            "data": self.dataset.name,
            "data_sha256": self.dataset.hashes(),
            "split": self.split,
            "samples": len(self.rows),
            "samples_asked": self.samples_asked,
            "training_pictures": len(self.train),
            "pictures_sha256": {
                "train": digest(self.train.numpy()),
                "validation": digest(self.validation.numpy()),
                self.split: [digest(unseen.batch(self.rows)[field]) for field in ("x", *sources)],
                **({} if self.masks is None else {"masks": digest(self.masks.numpy())}),
            },
            "paired": {"train": self.train_paired, self.split: self.paired},
            "extractor": self.extractor.name,
            "weights_sha256": self.extractor.weights_sha256,
            "device": self.extractor.device.type,
            "edge": pairs.EDGE,
        }

    # Metrics

    def known(self, cache: Path, described: Mapping[str, Any]) -> Arrays:
        """Features of real pictures, from the cache if they are there: `real` [N, D], `train` [M, D] ..."""
        return cached(cache, {**described, "part": "features"}, self.features)

    def features(self) -> Arrays:
        print(f"measuring real pictures of {self.dataset.name} first, once for all runs", flush=True)
        train = self.extractor(self.train, show=True).features
        spacing = radii(train, NEIGHBOURS["copies"])
        real, validation = self.extractor(self.targets).features, self.extractor(self.validation).features
        return {
            "real": real.numpy(),
            "train": train.numpy(),
            "spacing": spacing.numpy(),
            "held_out": closeness(real, train, spacing).numpy(),
            "validation": closeness(validation, train, spacing).numpy(),
        }

    def measure(self, candidates: Mapping[str, Tensor], known: Arrays) -> dict[str, dict[str, float]]:
        """All metrics of several sets of samples, uint8 [N, C, H, W] each, by the name of the set.

        Those of pairs only if there are any.
        """
        if not self.paired:
            return {name: self.distances(self.extractor(x).features, known) for name, x in candidates.items()}
        found = self.compared(candidates)
        return {
            name: found[name][0] | self.pixels(samples) | self.distances(found[name][1], known)
            for name, samples in candidates.items()
        }

    def compared(self, candidates: Mapping[str, Tensor]) -> dict[str, tuple[dict[str, float], Tensor]]:
        """Perceptual distance, and the features [N, D], of each set of samples. The targets go through the network once."""
        size = self.extractor.batch_size
        values: dict[str, list[Tensor]] = {name: [] for name in candidates}
        features: dict[str, list[Tensor]] = {name: [] for name in candidates}
        for rows in (slice(start, start + size) for start in range(0, len(self.targets), size)):
            theirs, _ = self.extractor.stages(self.targets[rows])
            for name, samples in candidates.items():
                own, feature = self.extractor.stages(samples[rows])
                values[name].append(pairs.perceptual(own, theirs))
                features[name].append(feature)
        key = self.extractor.key("perceptual")
        return {name: ({key: torch.cat(values[name]).mean().item()}, torch.cat(features[name])) for name in candidates}

    def pixels(self, samples: Tensor) -> dict[str, float]:
        prefix = "" if self.masks is None else HOLE
        found = {
            f"{prefix}psnr": pairs.psnr(samples, self.targets, self.masks),
            "ssim": pairs.ssim(samples, self.targets),
            f"{prefix}l1": pairs.l1(samples, self.targets, self.masks),
            "edge_f1": pairs.edge_f1(samples, self.targets),
        }
        return {name: values.mean().item() for name, values in found.items()}

    def distances(self, features: Tensor, known: Arrays) -> dict[str, float]:
        """Metrics of a set of samples as a whole, [N, D], without the pairing."""
        real, train, spacing, held_out = (torch.from_numpy(known[name]) for name in ("real", "train", "spacing", "held_out"))
        near, few = closeness(features, train, spacing), len(features) < FEWEST["kid"]
        found = {"fd": frechet_distance(statistics(features), statistics(real))}
        if not few:
            own, theirs = scaled(features, real, self.extractor), scaled(real, real, self.extractor)
            found["kid"], _ = kernel_distance(own, theirs, seed=0)
        found |= {"copies": copies(near, held_out), "closeness": near.median().item()}
        return {self.extractor.key(name): value for name, value in found.items()}

    # Controls

    def controls(
        self, cache: Path, described: Mapping[str, Any], known: Arrays, candidates: Callable[[Arrays], Mapping[str, Tensor]]
    ) -> dict[str, dict[str, float]]:
        """The metrics of real pictures, and of the candidates, from the cache if they are there."""

        def compute() -> dict[str, dict[str, float]]:
            return {"real": self.floor(known)} | self.measure(candidates(known), known)

        return cached_controls(cache, {**described, "part": "controls"}, compute)

    def floor(self, known: Arrays) -> dict[str, float]:
        """Distances of as many training pictures; copies and closeness of validation pictures, which training does not see."""
        chosen = subset(len(self.train), len(self.rows), 0, "floor")
        found = self.distances(torch.from_numpy(known["train"][chosen]), known)
        near, held_out = torch.from_numpy(known["validation"]), torch.from_numpy(known["held_out"])
        unseen = {"copies": copies(near, held_out), "closeness": near.median().item()}
        return found | {self.extractor.key(name): value for name, value in unseen.items()}

    def others(self) -> Tensor:
        """The targets, each of another pair."""
        return self.targets.roll(1, dims=0)


def picture(columns: list[Tensor], rows: np.ndarray) -> Tensor:
    """[R, K, 3, H, W]: of K sets of pictures uint8 [N, 1 or 3, H, W] these R rows, side by side."""
    return torch.stack([pairs.as_channels(column[rows], 3) for column in columns], dim=1)


def shown_rows(count: int, shown: int = 8) -> np.ndarray:
    """Rows that a picture shows, evenly spaced: neighbours in a split resemble each other."""
    return np.unique(np.linspace(0, count - 1, min(count, shown)).round().astype(int))
