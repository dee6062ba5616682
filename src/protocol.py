"""The evaluation protocol: what is measured, on how many images of which split, and beside which anchors.

The reference side (features of real images, the anchors) depends on the data, the extractor and the protocol alone. It
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

from src import rng
from src.data.dataset import Dataset
from src.files import write_atomic
from src.metrics.classes import class_entropy, class_shares
from src.metrics.extractors import Extractor, load_extractor
from src.metrics.fidelity import (
    frechet_distance,
    inception_score,
    kernel_distance,
    precision_recall,
    standardise,
    statistics,
)
from src.metrics.neighbours import closeness, copies, density_coverage, radii

log = logging.getLogger(__name__)

REVISION = 1  # raise it when a metric or an anchor changes its meaning: older caches are then left alone
NEIGHBOURS = {"precision_recall": 3, "density_coverage": 5, "copies": 1}

Generate = Callable[[int], Tensor]  # n -> uint8 images [n, C, H, W]
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Protocol:
    """How a set of samples is measured; two records compare only where it is the same.

    extractor: digits, fashion or inception-v3-compat. weights: a file of other weights for it.
    samples: generated and real images compared, fewer where the data has fewer. split: of the real images.
    seed: of all subsets drawn. device: of the extractor.
    """

    extractor: str
    weights: str | None = None
    samples: int = 10_000
    split: str = "test"
    seed: int = 0
    device: str = "cpu"


def evaluate(generate: Generate, dataset: Dataset, protocol: Protocol, cache: Path) -> dict[str, Any]:
    """A plain record of a generator: `metrics`, the three `anchors`, and the `protocol` they were measured under.

    anchors: `real`, as many training images against the reference (the floor; its `copies` is measured on the
    validation split); `noise`, uniform noise (the ceiling); `training_copies`, training images drawn with replacement:
    as good as real by every distance, and caught by `copies` alone.
    """
    extractor = load_extractor(protocol.extractor, protocol.weights, protocol.device)
    count = min(protocol.samples, len(dataset.split(protocol.split).x), len(dataset.split("train").x))
    described = _describe(dataset, protocol, extractor, count)
    reference = _cached(cache, described, lambda: _reference(dataset, protocol, extractor, count))
    images = generate(count)
    assert len(images) == count, f"{count} samples were asked for, {len(images)} came"
    return {
        "metrics": _measure(images, reference, extractor, protocol.seed),
        "anchors": json.loads(str(reference["anchors"])),
        "protocol": described,
    }


def validation_distance(generate: Generate, dataset: Dataset, extractor: Extractor, n: int, cache: Path) -> float:
    """Frechet distance of `n` samples to the whole validation split: cheap, to choose checkpoints by while training.

    Biased upwards by a small `n`, so compare values of one `n` only.
    """
    real = dataset.split("validation").x
    described = {"validation": _digest(real), "extractor": extractor.weights_sha256, "revision": REVISION}
    reference = _cached(cache, described, lambda: statistics(extractor(_images(real)).features))
    return frechet_distance(statistics(extractor(generate(n)).features), reference)


def _measure(images: Tensor, reference: Arrays, extractor: Extractor, seed: int) -> dict[str, Any]:
    """All metrics of a set of uint8 images, by key."""
    samples, logits = extractor(images)
    real, radius, train, spacing, held_out = (
        torch.from_numpy(reference[name]) for name in ("real", "radius", "train", "spacing", "held_out")
    )
    fit = (lambda features: standardise(features, real)) if extractor.standardise else (lambda features: features)
    score, score_std = inception_score(logits, seed)
    kernel, kernel_std = kernel_distance(fit(samples), fit(real), seed)
    precision, recall = precision_recall(samples, real, NEIGHBOURS["precision_recall"])
    density, coverage = density_coverage(samples, real, radius, NEIGHBOURS["density_coverage"])
    found: dict[str, Any] = {
        "fd": frechet_distance(statistics(samples), statistics(real)),
        "is": score,
        "is_std": score_std,
        "kid": kernel,
        "kid_std": kernel_std,
        "precision": precision,
        "recall": recall,
        "density": density,
        "coverage": coverage,
        "copies": copies(closeness(samples, train, spacing), held_out),
    }
    if extractor.classes:
        shares = class_shares(logits)
        found |= {"class_shares": shares, "class_min_share": min(shares), "class_entropy": class_entropy(shares)}
    return {extractor.key(name): value for name, value in found.items()}


def _reference(dataset: Dataset, protocol: Protocol, extractor: Extractor, count: int) -> Arrays:
    """Features of the real side, what is derived from them, and the anchors as JSON."""
    train_images, real_images = dataset.split("train").x, dataset.split(protocol.split).x
    real = extractor(_images(real_images[_subset(len(real_images), count, protocol.seed, "reference")])).features
    train = extractor(_images(train_images)).features
    spacing = radii(train, NEIGHBOURS["copies"])
    reference = {
        "real": real.numpy(),
        "radius": radii(real, NEIGHBOURS["density_coverage"]).numpy(),
        "train": train.numpy(),
        "spacing": spacing.numpy(),
        "held_out": closeness(real, train, spacing).numpy(),
    }

    floor = _images(train_images[_subset(len(train_images), count, protocol.seed, "floor")])
    noise = torch.randint(
        256, (count, *dataset.spec.shape), dtype=torch.uint8, generator=rng.generator(protocol.seed, "noise anchor")
    )
    drawn = torch.randint(len(train_images), (count,), generator=rng.generator(protocol.seed, "copies anchor"))
    anchors = {
        name: _measure(images, reference, extractor, protocol.seed)
        for name, images in (
            ("real", floor),
            ("noise", noise),
            ("training_copies", _images(train_images[drawn.numpy()])),
        )
    }
    validation = extractor(_images(dataset.split("validation").x)).features
    fresh = copies(closeness(validation, train, spacing), torch.from_numpy(reference["held_out"]))
    anchors["real"][extractor.key("copies")] = fresh
    return reference | {"anchors": np.array(json.dumps(anchors))}


def _describe(dataset: Dataset, protocol: Protocol, extractor: Extractor, count: int) -> dict[str, Any]:
    """The protocol as it went into the numbers, in plain JSON; the reference is cached under its hash."""
    splits = {name: _digest(dataset.split(name).x) for name in ("train", "validation", protocol.split)}
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
        "device": protocol.device,
        "quantisation": "uint8 0..255",
        "kernel_distance_features": "standardised" if extractor.standardise else "raw",
        "neighbours": NEIGHBOURS,
        "torch_fidelity": torch_fidelity.__version__,
        "revision": REVISION,
    }


def _subset(size: int, count: int, seed: int, stream: str) -> np.ndarray:
    """`count` of `size` indices, rising, drawn without replacement."""
    return torch.randperm(size, generator=rng.generator(seed, stream))[:count].sort().values.numpy()


def _images(x: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(x))  # a copy: what is memory-mapped read-only cannot be shared with a tensor


def _digest(x: np.ndarray) -> str:
    """SHA-256 of an array's shape and bytes; file hashes do not tell a resized or shortened split from a whole one."""
    return hashlib.sha256(str(x.shape).encode() + np.ascontiguousarray(x).tobytes()).hexdigest()


def _cached(folder: Path, described: dict[str, Any], compute: Callable[[], Arrays]) -> Arrays:
    """Arrays from the cache, or computed and put there; a damaged file is computed again."""
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()
    path = folder / f"reference-{digest[:32]}.npz"
    try:
        with np.load(path, allow_pickle=False) as stored:
            return dict(stored)
    except FileNotFoundError:
        pass
    except Exception as error:  # zipfile raises nearly anything on damaged bytes, and checks the CRC of what it reads
        log.warning("%s is damaged (%s): computing it again", path, error)

    log.info("measuring the real side once, into %s", path)
    arrays = compute()
    folder.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    write_atomic(path, buffer.getvalue())
    return arrays
