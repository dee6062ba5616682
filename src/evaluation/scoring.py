"""A run folder's final evaluation: the chosen checkpoint, averaged and raw weights, under the protocol."""

import importlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from src.data.dataset import Dataset
from src.data.pixels import from_uint8
from src.evaluation.extractors.extractor import Extractor, load_extractor
from src.evaluation.metrics.discriminator_gap import discriminator_gap
from src.evaluation.metrics.neighbours import nearest
from src.evaluation.protocol import Protocol, evaluate, extract, sample_count, validation_distance
from src.models.latent import SAMPLE_BATCH
from src.parallel.collectives import shared
from src.runs.export import state_hash
from src.runs.folder import RunFolder, build_dataset, load_run
from src.system.files import write_json

NEIGHBOUR_ROWS, NEIGHBOURS = 8, 8
BATCH = 500  # samples through the discriminator at once


def score(run: RunFolder, dataset: Dataset, settings: dict[str, Any], cache: Path, path: Path) -> dict[str, Any]:
    """Evaluate a finished run under `settings` (the config's `evaluation`), write the record to `path` and return it."""
    model = load_run(run.path)
    modality = importlib.import_module(f"src.modalities.{dataset.spec.kind}")
    protocol = protocol_of(settings)
    count = sample_count(dataset, protocol)
    labels = model.labels(range(settings["seed"], settings["seed"] + count))

    def measured(weights: str) -> tuple[Tensor, dict[str, Any]]:
        samples = sampler(model, settings["seed"], weights)(count)
        return samples, evaluate(lambda _: samples, dataset, protocol, cache, labels)

    drawn, record = measured("ema")
    raw = measured("raw")[1] if model.ema else record
    x, y = dataset.split(protocol.split)
    real = torch.from_numpy(x[:count].copy())
    real_labels = None if labels is None or y is None else torch.from_numpy(y[:count].copy())
    gap = discriminator_gap(logits(model, real, real_labels), logits(model, drawn, labels))

    result = {
        "metrics": record["metrics"] | gap,
        "raw": raw["metrics"],
        "anchors": record["anchors"],
        "protocol": record["protocol"]
        | {
            "quantisation": modality.QUANTISATION,
            "weights": "ema" if model.ema else "raw (this model keeps no average)",
            "first_seed": settings["seed"],
            "checkpoint": run.checkpoint().name,
            "generator_sha256": state_hash(model.sampler().state_dict()),
        },
    }
    draw_neighbours(run.samples / "neighbours.png", drawn[:NEIGHBOUR_ROWS], dataset, modality)
    write_json(path, result)
    return result


def follow_score(path: Path, config: dict[str, Any]) -> None:
    """What other processes do of `score`: their part of the samples, and of looking at them."""
    model, settings = load_run(path), config["evaluation"]
    dataset = build_dataset(config)
    dataset.prepare()
    protocol = protocol_of(settings)
    count, extractor = sample_count(dataset, protocol), load_extractor(protocol.extractor, protocol.weights)
    for weights in ("ema", "raw") if model.ema else ("ema",):
        extract(sampler(model, settings["seed"], weights), count, extractor)


def protocol_of(settings: dict[str, Any]) -> Protocol:
    return Protocol(settings["extractor"], settings["weights"], settings["samples"], settings.get("split", "test"))


def sampler(model: Any, seed: int, weights: str = "ema") -> Callable[[int], Tensor]:
    """n -> samples [n, ...] of the seeds seed .. seed + n - 1, as the data has them (uint8 images).

    Each of several processes makes a part of them, and all get all.
    """
    modality = importlib.import_module(f"src.modalities.{model.spec.kind}")

    def part(rows: slice) -> Tensor:
        return modality.to_uint8(model.sample(range(seed + rows.start, seed + rows.stop), weights=weights))

    return lambda n: torch.cat(shared(part, n, SAMPLE_BATCH))


def validation_measure(dataset: Dataset, extractor: Extractor, n: int, seed: int, cache: Path) -> Callable[[Any], float]:
    """model -> Frechet distance of `n` of its samples to the validation split."""
    measure = partial(validation_distance, dataset=dataset, extractor=extractor, n=n, cache=cache)
    return lambda model: measure(sampler(model, seed))


@torch.no_grad()
def logits(model: Any, samples: Tensor, labels: Tensor | None = None) -> Tensor:
    """The discriminator's logits [N] for samples as the data has them, in evaluation mode; labels [N] where it takes them."""
    found = []
    for start in range(0, len(samples), BATCH):
        x, y = samples[start : start + BATCH], None if labels is None else labels[start : start + BATCH]
        found.append(model.discriminator(from_uint8(x) if x.dtype == torch.uint8 else x, y))
    return torch.cat(found)


def draw_neighbours(path: Path, drawn: Tensor, dataset: Dataset, modality: Any) -> None:
    """A picture of samples beside the training images nearest to them, by Euclidean distance: copies would show."""
    train = torch.from_numpy(dataset.split("train").x.copy())
    _, rows = nearest(drawn.flatten(1).float(), train.flatten(1).float(), k=NEIGHBOURS)
    modality.neighbours(drawn, train[rows], path)
