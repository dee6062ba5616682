"""The evaluation protocol: metrics, number of images, split and controls.

The reference side (features of real images, the controls) depends only on the data, the extractor and the protocol. It is
computed once and cached under a hash of all three. Of the default data sets all but the features is in the repository
(`references/`, made by src.tools.references): a first evaluation only has to extract features.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch_fidelity
from torch import Tensor

from src.data.dataset import Dataset, read_all
from src.evaluation.cache import Arrays, cached, digest, shipped
from src.evaluation.columns import CONTROL_NAMES, columns
from src.evaluation.extractors.extractor import Extractor, Features, load_extractor
from src.evaluation.image_metrics import FEWEST, MANY_CLASSES, NEIGHBOURS, measure, scaled
from src.evaluation.metrics.classes import accuracy, class_counts, class_distances
from src.evaluation.metrics.distances import frechet_distance, kernel_within, statistics
from src.evaluation.metrics.neighbours import closeness, copies, manifold_radii, radii
from src.evaluation.suite import Main, record
from src.parallel.collectives import from_first, is_first, shared
from src.training import rng

REVISION = 1  # increase it when a metric or a control changes its meaning: older caches are then not used

Generate = Callable[[int], Tensor]  # n -> samples [n, ...] in the data's dtype: uint8 images [n, C, H, W], float points


@dataclass(frozen=True)
class Protocol:
    """Settings of an evaluation; two records are comparable only if these are the same.

    extractor: one of `extractor.NAMES`. weights: a file with other weights for it.
    samples: number of generated and of real samples, fewer if the data has fewer. split: split of the real samples.
    seed: seed of all random subsets.
    training: number of training samples that are searched for copies; None for the extractor's default (see
    Backbone.training_images). Copies of other training samples are not found, as the control `training_copies` shows.
    """

    extractor: str
    weights: str | None = None
    samples: int = 10_000
    split: str = "test"
    seed: int = 0
    training: int | None = None


def sample_count(dataset: Dataset, protocol: Protocol) -> int:
    """Number of samples that `evaluate` generates."""
    return min(protocol.samples, len(read_all(dataset.split(protocol.split), "x")), len(read_all(dataset.split("train"), "x")))


def evaluate(
    generate: Generate,
    dataset: Dataset,
    protocol: Protocol,
    cache: Path,
    labels: Tensor | None = None,
    extractor: Extractor | None = None,
) -> dict[str, Any]:
    """Measure a generator and return its record, see src.evaluation.suite; ranks other than 0 return an empty one.

    labels: the classes [N] that a conditional generator gets; None for an unconditional one. With labels, the record and its
    controls also hold the metrics of `_measure_classes`.

    Controls, each with as many samples as the generator:
    `real`: training images, or test images if the reference is the training split. This is the floor. Its `copies` is measured
    on the validation split if the reference is the test split, otherwise on the test split.
    `noise`: uniform noise. This is the ceiling.
    `training_copies`: training images drawn with replacement. By every distance they are as good as real; only `copies` detects
    them.
    """
    extractor = extractor or load_extractor(protocol.extractor, protocol.weights)
    count = sample_count(dataset, protocol)
    found = extract(generate, count, extractor, show=True)
    if not is_first():
        return {}
    described = describe(dataset, protocol, extractor, count)
    known = shipped(described)
    reference = cached(cache, described, lambda: real_reference(dataset, protocol, extractor, count, known))
    metrics = measure(found, reference, extractor, protocol.seed)
    controls = json.loads(str(reference["controls"]))
    few = {extractor.key(name) for name, fewest in FEWEST.items() if count < fewest}
    metrics, *others = ({k: v for k, v in part.items() if k not in few} for part in (metrics, *controls.values()))
    controls = dict(zip(controls, others, strict=True))
    if labels is not None:
        # A separate cache file: metrics that need no labels, and their protocol, must not depend on labels.
        conditional = known or cached(
            cache, described | {"labels": True}, lambda: conditional_controls(dataset, protocol, extractor, count, reference)
        )
        metrics |= _measure_classes(found, labels, dataset, protocol, extractor, reference)
        controls = {name: control | json.loads(str(conditional[f"{name}_classes"])) for name, control in controls.items()}
    main = Main(extractor.key("fd"), "lower")
    return record(main, columns(metrics, extractor.name), metrics, controls, CONTROL_NAMES, described)


def extract(generate: Generate, n: int, extractor: Extractor, show: bool = False) -> Features:
    """Features of `n` generated samples; each rank extracts a part of them. show: whether it says how far it is."""
    samples = generate(n)
    assert len(samples) == n, f"{n} samples were asked for, {len(samples)} came"
    parts = shared(lambda rows: extractor(samples[rows], show), n, extractor.batch_size)
    return Features(*map(torch.cat, zip(*parts, strict=True)))


def validation_distance(generate: Generate, dataset: Dataset, extractor: Extractor, n: int, cache: Path) -> float:
    """Frechet distance of `n` samples to the whole validation split: a cheap metric to choose checkpoints during training.

    Biased upwards for small `n`: compare only values of the same `n`.
    """
    real = read_all(dataset.split("validation"), "x")
    described = {"validation": digest(real), "extractor": extractor.weights_sha256, "revision": REVISION}
    found = extract(generate, n, extractor)

    def distance() -> float:
        reference = cached(cache, described, lambda: statistics(extractor(_tensor(real)).features))
        return frechet_distance(statistics(found.features), reference)

    return from_first(distance)


def _measure_classes(
    found: Features, labels: Tensor, dataset: Dataset, protocol: Protocol, extractor: Extractor, reference: Arrays
) -> dict[str, Any]:
    """Metrics of samples with known classes: `accuracy`, `fd_per_class` and its mean `fd_class_mean`."""
    x, y = arrays(dataset, protocol.split)
    assert y is not None, f"{dataset.name} has no labels: nothing can be conditional on them"
    metrics: dict[str, Any] = {}
    if extractor.class_names == dataset.spec.classes:
        metrics["accuracy"] = accuracy(found.logits, labels)
    real = torch.from_numpy(reference["real"])
    real_labels = torch.from_numpy(y[_subset(len(x), len(real), protocol.seed, "reference")])
    distances = class_distances(found.features, labels, real, real_labels, len(dataset.spec.classes))
    if distances is not None:
        metrics |= {"fd_per_class": distances, "fd_class_mean": sum(distances) / len(distances)}
    return {extractor.key(name): value for name, value in metrics.items()}


def real_reference(
    dataset: Dataset, protocol: Protocol, extractor: Extractor, count: int, known: Arrays | None = None
) -> Arrays:
    """Features of real samples, and what `derived` makes of them unless it is known."""
    print(f"measuring real samples of {dataset.name} first, once for all runs", flush=True)
    train_samples, real_samples = read_all(dataset.split("train"), "x"), read_all(dataset.split(protocol.split), "x")
    real, real_logits = extractor(_tensor(real_samples[_subset(len(real_samples), count, protocol.seed, "reference")]))
    limit = _training_limit(dataset, protocol, extractor)
    looked_at = train_samples if limit is None else train_samples[_subset(len(train_samples), limit, protocol.seed, "training")]
    reference = {"real": real.numpy(), "train": extractor(_tensor(looked_at), show=True).features.numpy()}
    if extractor.classes >= MANY_CLASSES:
        reference["class_counts"] = class_counts(real_logits).numpy()
    return reference | (derived(dataset, protocol, extractor, count, reference) if known is None else known)


def derived(dataset: Dataset, protocol: Protocol, extractor: Extractor, count: int, features: Arrays) -> Arrays:
    """Arrays computed from the features of real samples, and the controls as JSON.

    features: `real` [count, D] and `train` [N, D].
    """
    real, train = torch.from_numpy(features["real"]), torch.from_numpy(features["train"])
    spacing = radii(train, NEIGHBOURS["copies"])
    validation = extractor(_tensor(read_all(dataset.split("validation"), "x"))).features
    found = {
        "kernel_within": kernel_within(scaled(real, real, extractor), protocol.seed),
        "manifold_radius": manifold_radii(real, NEIGHBOURS["precision_recall"]).numpy(),
        "radius": radii(real, NEIGHBOURS["density_coverage"]).numpy(),
        "spacing": spacing.numpy(),
        "held_out": closeness(validation if protocol.split == "train" else real, train, spacing).numpy(),
    }
    controls = {
        name: measure(extractor(samples, show=True), features | found, extractor, protocol.seed)
        for name, (samples, _) in _control_samples(dataset, protocol, count).items()
    }
    unseen = validation if protocol.split == "test" else extractor(_tensor(read_all(dataset.split("test"), "x"))).features
    fresh = copies(closeness(unseen, train, spacing), torch.from_numpy(found["held_out"]))
    controls["real"][extractor.key("copies")] = fresh
    return found | {"controls": np.array(json.dumps(controls))}


def conditional_controls(dataset: Dataset, protocol: Protocol, extractor: Extractor, count: int, reference: Arrays) -> Arrays:
    """The metrics of `_measure_classes` for each control, as JSON, under "<control>_classes"."""
    found = {}
    for name, (samples, labels) in _control_samples(dataset, protocol, count).items():
        assert labels is not None
        metrics = _measure_classes(extractor(samples), labels, dataset, protocol, extractor, reference)
        found[f"{name}_classes"] = np.array(json.dumps(metrics))
    return found


def _control_samples(dataset: Dataset, protocol: Protocol, count: int) -> dict[str, tuple[Tensor, Tensor | None]]:
    """Samples and labels of the three controls; the labels of noise go through the classes in turn."""
    x, y = arrays(dataset, "train")
    real_x, real_y = arrays(dataset, "test") if protocol.split == "train" else (x, y)
    floor = _subset(len(real_x), count, protocol.seed, "floor")
    # The names of the random streams are old ones: new names would draw other samples.
    drawn = torch.randint(len(x), (count,), generator=rng.generator(protocol.seed, "copies anchor")).numpy()
    return {
        "real": (_tensor(real_x[floor]), None if real_y is None else _tensor(real_y[floor])),
        "noise": (_noise(dataset, count, protocol.seed), torch.arange(count) % max(1, len(dataset.spec.classes))),
        "training_copies": (_tensor(x[drawn]), None if y is None else _tensor(y[drawn])),
    }


def _noise(dataset: Dataset, count: int, seed: int) -> Tensor:
    """Uniform noise [N, *shape]: bytes 0..255, or floats within the bounds of the training data."""
    x, generator = read_all(dataset.split("train"), "x"), rng.generator(seed, "noise anchor")
    if x.dtype == np.uint8:
        return torch.randint(256, (count, *dataset.spec.shape), dtype=torch.uint8, generator=generator)
    low, high = _tensor(x.min(axis=0)), _tensor(x.max(axis=0))
    return low + (high - low) * torch.rand(count, *dataset.spec.shape, generator=generator)


def _training_limit(dataset: Dataset, protocol: Protocol, extractor: Extractor) -> int | None:
    """Number of training samples that are searched for copies; None for all."""
    limit = protocol.training or extractor.training_images
    return limit if limit is not None and limit < len(read_all(dataset.split("train"), "x")) else None


def describe(dataset: Dataset, protocol: Protocol, extractor: Extractor, count: int) -> dict[str, Any]:
    """All that the numbers depend on, in plain JSON; the reference is cached under its hash."""
    splits = {name: digest(read_all(dataset.split(name), "x")) for name in ("train", "validation", protocol.split)}
    limit = _training_limit(dataset, protocol, extractor)
    return {
        "extractor": extractor.name,
        "weights_sha256": extractor.weights_sha256,
        "data": dataset.name,
        "data_sha256": dataset.hashes(),
        "split": protocol.split,
        "split_sha256": splits,
        "samples": count,
        "samples_asked": protocol.samples,
        "seed": protocol.seed,
        "device": "cpu",  # the extractor's
        "quantisation": "uint8 0..255" if read_all(dataset.split("train"), "x").dtype == np.uint8 else "none",
        "kernel_distance_features": "standardised" if extractor.standardise else "raw",
        "neighbours": NEIGHBOURS,
        "torch_fidelity": torch_fidelity.__version__,
        "revision": REVISION,
        **({} if limit is None else {"training_samples": limit}),
    }


def _subset(size: int, count: int, seed: int, stream: str) -> np.ndarray:
    """`count` of `size` indices, ascending, drawn without replacement."""
    return torch.randperm(size, generator=rng.generator(seed, stream))[:count].sort().values.numpy()


def arrays(dataset: Dataset, split: str) -> tuple[np.ndarray, np.ndarray | None]:
    """All samples of a split, and their classes, None if the data has none."""
    found = dataset.split(split)
    return read_all(found, "x"), read_all(found, "y") if dataset.spec.classes else None


def _tensor(x: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(x))  # a copy: a tensor cannot share a read-only memory map
