"""The evaluation protocol: what is measured, on how many images of which split, and beside which controls.

The reference side (features of real images, the controls) depends on the data, the extractor and the protocol alone. It
is computed once and cached under a hash of all three.
"""

import hashlib
import io
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch_fidelity
from torch import Tensor

from src.data.dataset import Dataset, whole
from src.evaluation.columns import CONTROL_NAMES, columns
from src.evaluation.extractors.extractor import Extractor, Features, load_extractor
from src.evaluation.extractors.points import mode_quality
from src.evaluation.metrics.classes import accuracy, class_counts, class_distances, class_entropy, class_shares, mode_coverage
from src.evaluation.metrics.distances import (
    frechet_distance,
    inception_score,
    kernel_distance,
    kernel_within,
    standardise,
    statistics,
)
from src.evaluation.metrics.neighbours import closeness, copies, manifold_radii, manifolds, radii
from src.evaluation.suite import Main, record
from src.parallel.collectives import from_first, is_first, shared
from src.system.files import write_atomic
from src.training import rng

log = logging.getLogger(__name__)

REVISION = 1  # raise it when a metric or a control changes its meaning: older caches are then left alone
ARRAYS = 5  # raise it when other arrays are cached that mean the same
NEIGHBOURS = {"precision_recall": 3, "density_coverage": 5, "copies": 1}

MANY_CLASSES = 100  # from here on a record counts the classes that were found instead of listing their shares

Generate = Callable[[int], Tensor]  # n -> samples [n, ...] as the data has them: uint8 images [n, C, H, W], float points
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Protocol:
    """How a set of samples is measured; two records compare only where it is the same.

    extractor: one of `extractors.NAMES`. weights: a file of other weights for it.
    samples: generated and real ones compared, fewer where the data has fewer. split: of the real ones.
    seed: of all subsets drawn.
    training: how many training samples are looked at for copies; None for as many as the extractor has time for (see
    Backbone.training_images). Copies of the others are not found, which shows in the control `training_copies`.
    """

    extractor: str
    weights: str | None = None
    samples: int = 10_000
    split: str = "test"
    seed: int = 0
    training: int | None = None


def sample_count(dataset: Dataset, protocol: Protocol) -> int:
    """How many samples `evaluate` asks for."""
    return min(protocol.samples, len(whole(dataset.split(protocol.split), "x")), len(whole(dataset.split("train"), "x")))


def evaluate(
    generate: Generate,
    dataset: Dataset,
    protocol: Protocol,
    cache: Path,
    labels: Tensor | None = None,
    extractor: Extractor | None = None,
) -> dict[str, Any]:
    """The record of a generator, see src.evaluation.suite.

    labels: the classes [N] that a conditional generator is asked for; None where it is asked for none. With them the record
    also says whether the classes came out, and the controls say it of real images, of noise and of copies.

    controls: `real`, as many training images against the reference (the floor; its `copies` is that of the validation split, or
    of the test split where the reference is another), or test images where the reference is the training split; `noise`,
    uniform noise (the ceiling);
    `training_copies`, training images drawn with replacement: as good as real by every distance, and caught by `copies` alone.
    """
    extractor = extractor or load_extractor(protocol.extractor, protocol.weights)
    count = sample_count(dataset, protocol)
    found = extract(generate, count, extractor)
    if not is_first():
        return {}
    described = _describe(dataset, protocol, extractor, count)
    reference = _cached(cache, described, lambda: _reference(dataset, protocol, extractor, count))
    metrics = _measure(found, reference, extractor, protocol.seed)
    controls = json.loads(str(reference["controls"]))
    if labels is not None:
        # A file of its own: what is measured without labels is the same with them, and so is its protocol.
        conditional = _cached(
            cache, described | {"labels": True}, lambda: _conditional_controls(dataset, protocol, extractor, count, reference)
        )
        metrics |= _measure_classes(found, labels, dataset, protocol, extractor, reference)
        controls = {name: control | json.loads(str(conditional[name])) for name, control in controls.items()}
    main = Main(extractor.key("fd"), "lower")
    return record(main, columns(metrics, extractor.name), metrics, controls, CONTROL_NAMES, described)


def extract(generate: Generate, n: int, extractor: Extractor) -> Features:
    """Features of `n` samples; each of several processes looks at a part of them."""
    samples = generate(n)
    assert len(samples) == n, f"{n} samples were asked for, {len(samples)} came"
    parts = shared(lambda rows: extractor(samples[rows]), n, extractor.batch_size)
    return Features(*map(torch.cat, zip(*parts, strict=True)))


def validation_distance(generate: Generate, dataset: Dataset, extractor: Extractor, n: int, cache: Path) -> float:
    """Frechet distance of `n` samples to the whole validation split: cheap, to choose checkpoints by while training.

    Biased upwards by a small `n`, so compare values of one `n` only.
    """
    real = whole(dataset.split("validation"), "x")
    described = {"validation": _digest(real), "extractor": extractor.weights_sha256, "revision": REVISION}
    found = extract(generate, n, extractor)

    def distance() -> float:
        reference = _cached(cache, described, lambda: statistics(extractor(_tensor(real)).features))
        return frechet_distance(statistics(found.features), reference)

    return from_first(distance)


def _measure(found: Features, reference: Arrays, extractor: Extractor, seed: int) -> dict[str, Any]:
    """All metrics of a set of samples by their features, by key."""
    samples, logits = found
    names = ("real", "manifold_radius", "radius", "train", "spacing", "held_out")
    real, manifold_radius, radius, train, spacing, held_out = (torch.from_numpy(reference[name]) for name in names)
    scaled, scaled_real = _scaled(samples, real, extractor), _scaled(real, real, extractor)
    kernel, kernel_std = kernel_distance(scaled, scaled_real, seed, within=reference["kernel_within"])
    k, density_k = NEIGHBOURS["precision_recall"], NEIGHBOURS["density_coverage"]
    covered = manifolds(samples, real, k, density_k, manifold_radius, radius)
    metrics: dict[str, Any] = {"fd": frechet_distance(statistics(samples), statistics(real))}
    if logits.shape[1] and not extractor.points:  # points are of one mode beyond doubt: `modes` says it all, the score is nan
        metrics["is"], metrics["is_std"] = inception_score(logits, seed)
    metrics |= {
        "kid": kernel,
        "kid_std": kernel_std,
        **covered._asdict(),
        "copies": copies(closeness(samples, train, spacing), held_out),
    }
    if extractor.points:
        metrics |= mode_quality(samples)
    elif extractor.classes >= MANY_CLASSES:
        metrics |= mode_coverage(class_counts(logits), torch.from_numpy(reference["class_counts"]))
    elif extractor.classes:
        shares = class_shares(logits)
        metrics |= {"class_shares": shares, "class_min_share": min(shares), "class_entropy": class_entropy(shares)}
    return {extractor.key(name): value for name, value in metrics.items()}


def _scaled(features: Tensor, real: Tensor, extractor: Extractor) -> Tensor:
    """Features as the kernel distance takes them."""
    return standardise(features, real) if extractor.standardise else features


def _measure_classes(
    found: Features, labels: Tensor, dataset: Dataset, protocol: Protocol, extractor: Extractor, reference: Arrays
) -> dict[str, Any]:
    """What can be said of samples whose classes are known: `accuracy`, `fd_per_class` and its mean `fd_class_mean`."""
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


def _reference(dataset: Dataset, protocol: Protocol, extractor: Extractor, count: int) -> Arrays:
    """Features of the real side, what is derived from them, and the controls as JSON."""
    print(f"measuring {count:,} real samples of {dataset.name} first, once for all runs", flush=True)
    train_samples, real_samples = whole(dataset.split("train"), "x"), whole(dataset.split(protocol.split), "x")
    real, real_logits = extractor(_tensor(real_samples[_subset(len(real_samples), count, protocol.seed, "reference")]))
    limit = _training(dataset, protocol, extractor)
    looked_at = train_samples if limit is None else train_samples[_subset(len(train_samples), limit, protocol.seed, "training")]
    train = extractor(_tensor(looked_at)).features
    spacing = radii(train, NEIGHBOURS["copies"])
    validation = extractor(_tensor(whole(dataset.split("validation"), "x"))).features
    reference = {
        "real": real.numpy(),
        "kernel_within": kernel_within(_scaled(real, real, extractor), protocol.seed),
        "manifold_radius": manifold_radii(real, NEIGHBOURS["precision_recall"]).numpy(),
        "radius": radii(real, NEIGHBOURS["density_coverage"]).numpy(),
        "train": train.numpy(),
        "spacing": spacing.numpy(),
        "held_out": closeness(validation if protocol.split == "train" else real, train, spacing).numpy(),
    }
    if extractor.classes >= MANY_CLASSES:
        reference["class_counts"] = class_counts(real_logits).numpy()

    controls = {
        name: _measure(extractor(samples), reference, extractor, protocol.seed)
        for name, (samples, _) in _control_samples(dataset, protocol, count).items()
    }
    unseen = validation if protocol.split == "test" else extractor(_tensor(whole(dataset.split("test"), "x"))).features
    fresh = copies(closeness(unseen, train, spacing), torch.from_numpy(reference["held_out"]))
    controls["real"][extractor.key("copies")] = fresh
    return reference | {"controls": np.array(json.dumps(controls))}


def _conditional_controls(dataset: Dataset, protocol: Protocol, extractor: Extractor, count: int, reference: Arrays) -> Arrays:
    """What `_measure_classes` finds for each control, as JSON."""
    found = {}
    for name, (samples, labels) in _control_samples(dataset, protocol, count).items():
        assert labels is not None
        metrics = _measure_classes(extractor(samples), labels, dataset, protocol, extractor, reference)
        found[name] = np.array(json.dumps(metrics))
    return found


def _control_samples(dataset: Dataset, protocol: Protocol, count: int) -> dict[str, tuple[Tensor, Tensor | None]]:
    """The samples of the three controls with their labels; noise is asked for each class in turn."""
    x, y = arrays(dataset, "train")
    real_x, real_y = arrays(dataset, "test") if protocol.split == "train" else (x, y)
    floor = _subset(len(real_x), count, protocol.seed, "floor")
    # The streams keep their first names: others would draw other samples.
    drawn = torch.randint(len(x), (count,), generator=rng.generator(protocol.seed, "copies anchor")).numpy()
    return {
        "real": (_tensor(real_x[floor]), None if real_y is None else _tensor(real_y[floor])),
        "noise": (_noise(dataset, count, protocol.seed), torch.arange(count) % max(1, len(dataset.spec.classes))),
        "training_copies": (_tensor(x[drawn]), None if y is None else _tensor(y[drawn])),
    }


def _noise(dataset: Dataset, count: int, seed: int) -> Tensor:
    """Uniform noise [N, *shape]: of bytes, or within the bounds of the training data."""
    x, generator = whole(dataset.split("train"), "x"), rng.generator(seed, "noise anchor")
    if x.dtype == np.uint8:
        return torch.randint(256, (count, *dataset.spec.shape), dtype=torch.uint8, generator=generator)
    low, high = _tensor(x.min(axis=0)), _tensor(x.max(axis=0))
    return low + (high - low) * torch.rand(count, *dataset.spec.shape, generator=generator)


def _training(dataset: Dataset, protocol: Protocol, extractor: Extractor) -> int | None:
    """How many training samples are looked at for copies, where that is not all of them."""
    limit = protocol.training or extractor.training_images
    return limit if limit is not None and limit < len(whole(dataset.split("train"), "x")) else None


def _describe(dataset: Dataset, protocol: Protocol, extractor: Extractor, count: int) -> dict[str, Any]:
    """The protocol as it went into the numbers, in plain JSON; the reference is cached under its hash."""
    splits = {name: _digest(whole(dataset.split(name), "x")) for name in ("train", "validation", protocol.split)}
    limit = _training(dataset, protocol, extractor)
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
        "device": "cpu",  # of the extractor
        "quantisation": "uint8 0..255" if whole(dataset.split("train"), "x").dtype == np.uint8 else "none",
        "kernel_distance_features": "standardised" if extractor.standardise else "raw",
        "neighbours": NEIGHBOURS,
        "torch_fidelity": torch_fidelity.__version__,
        "revision": REVISION,
        **({} if limit is None else {"training_samples": limit}),
    }


def _subset(size: int, count: int, seed: int, stream: str) -> np.ndarray:
    """`count` of `size` indices, rising, drawn without replacement."""
    return torch.randperm(size, generator=rng.generator(seed, stream))[:count].sort().values.numpy()


def arrays(dataset: Dataset, split: str) -> tuple[np.ndarray, np.ndarray | None]:
    """All samples of a split, and their classes where they have any."""
    found = dataset.split(split)
    return whole(found, "x"), whole(found, "y") if dataset.spec.classes else None


def _tensor(x: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(x))  # a copy: what is memory-mapped read-only cannot be shared with a tensor


def _digest(x: np.ndarray) -> str:
    """SHA-256 of an array's shape and bytes; file hashes do not tell a resized or shortened split from a whole one."""
    return hashlib.sha256(str(x.shape).encode() + np.ascontiguousarray(x).tobytes()).hexdigest()


def _cached(folder: Path, described: dict[str, Any], compute: Callable[[], Arrays]) -> Arrays:
    """Arrays from the cache, by what they are of and how they are rounded, or computed; a damaged file is computed again."""
    rounding = {"arrays": ARRAYS, "threads": torch.get_num_threads(), "matmul_precision": torch.get_float32_matmul_precision()}
    digest = hashlib.sha256(json.dumps(described | rounding, sort_keys=True).encode()).hexdigest()
    path = folder / f"reference-{digest[:32]}.npz"
    try:
        with np.load(path, allow_pickle=False) as stored:
            return dict(stored)
    except FileNotFoundError:
        pass
    except Exception as error:  # zipfile raises nearly anything on damaged bytes, and checks the CRC of what it reads
        log.warning("%s is damaged (%s): computing it again", path, error)

    arrays = compute()
    folder.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    write_atomic(path, buffer.getvalue())
    return arrays
