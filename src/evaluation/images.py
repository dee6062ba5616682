"""The suite for generated images (and points): distances in an extractor's features, manifolds, copies, classes.

The protocol and its controls are in src/evaluation/protocol.py. torch is imported lazily: config errors must not wait for it.
"""

import sys
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from src.config.errors import Diverged, UserError
from src.data.pixels import QUANTISATION
from src.data.spec import Spec
from src.evaluation.suite import Main
from src.system.progress import Line

if TYPE_CHECKING:
    from torch import Tensor

    from src.data.dataset import Dataset
    from src.evaluation.extractors.extractor import Extractor
    from src.evaluation.image_likelihood import Measured
    from src.models.model import Model

VALIDATION_SEED = 1_000_000  # first seed of validation samples: the final evaluation must draw others than chose the checkpoint
NEIGHBOUR_ROWS, NEIGHBOURS = 8, 8
TIMED = 128  # samples that tell how long others take
BATCH = 500  # samples per call of the discriminator
PORTION = 1024  # samples per call of the model: a multiple of the batches in which models sample


class ImageSuite:
    """Measures samples of images or points; the model needs the capability Samples.

    extractor: name of the feature extractor, see src/evaluation/extractors; None if the data's config names none, which
    `check` refuses. weights: a file with other weights for it.
    samples: number of generated and of real samples, fewer if the data has fewer. split: split of the real samples.
    seed: seed of the first generated sample; sample i has seed + i. validation_samples: number of samples per validation.
    likelihood: number of images of the split whose likelihood is measured, by models with that capability; 0 for none.
    raw: whether the weights without averaging are measured as well.
    device: device for sampling and for feature extraction; None for the model's.
    cache: folder for features and metrics of real data.
    """

    better = "lower"

    def __init__(
        self,
        extractor: str | None = "digits",
        weights: str | None = None,
        samples: int = 10_000,
        seed: int = 3_000_000,
        split: str = "test",
        validation_samples: int = 5000,
        device: str | None = None,
        cache: str | Path = ".cache",
        likelihood: int = 1000,
        raw: bool = True,
    ) -> None:
        self.likelihood, self.raw = likelihood, raw
        self.extractor_name, self.weights, self.samples, self.seed = extractor or "", weights, samples, seed
        self.split, self.validation_samples, self.device, self.cache = split, validation_samples, device, Path(cache)

    @cached_property
    def extractor(self) -> "Extractor":
        from src.evaluation.extractors.extractor import load_extractor

        return load_extractor(self.extractor_name, self.weights)

    @property
    def main(self) -> Main:
        return Main(self.extractor.key("fd"), self.better)

    def check(self, spec: Spec) -> None:
        shape, name = spec.shape, self.extractor_name
        if spec.kind not in ("image", "points"):
            raise UserError(f"evaluation=images measures images and points, not {spec.kind}: take another evaluation=")
        if not name or (name == "points") != (spec.kind == "points") or (name == "stacked_digits" and shape[0] != 3):
            raise UserError(
                f"evaluation.extractor={name or 'null'} cannot measure samples of shape {list(shape)}: pick another extractor"
            )
        if self.weights is not None and not Path(self.weights).is_file():
            raise UserError(f"evaluation.weights={self.weights} is no file: give the path of an existing one, or leave it null")
        if self.weights is not None:
            assert self.extractor  # loads the weights: a UserError comes before anything is written

    def check_model(self, model: "Model") -> None:
        from src.models.capabilities import Samples

        if not isinstance(model, Samples):
            raise UserError(f"evaluation=images needs samples, and {type(model).__name__} draws none: take another evaluation=")

    def validate(self, model: "Model", dataset: "Dataset") -> float:
        """Frechet distance of `validation_samples` samples to the validation split."""
        from src.evaluation.protocol import validation_distance

        self.place(model)
        draw = sampler(model, dataset.spec, VALIDATION_SEED)
        return validation_distance(draw, dataset, self.extractor, self.validation_samples, self.cache)

    def seconds(self, model: "Model", dataset: "Dataset") -> tuple[float, float]:
        """About how long a validation and the evaluation take here, without what is measured of real data once.

        Draws and measures TIMED samples on this rank.
        """
        self.extractor.to(model.device)
        began = time.monotonic()
        self.extractor(dataset.spec.x.to_data(model.sample(range(TIMED))))  # type: ignore[operator]
        each = (time.monotonic() - began) / TIMED
        count = min(self.samples, len(dataset.split(self.split)), len(dataset.split("train")))
        return each * self.validation_samples, each * count * (2 if model.ema and self.raw else 1)

    def evaluate(self, model: "Model", dataset: "Dataset", modality: Any, folder: Path) -> dict[str, Any]:
        """See Suite. Measures averaged and raw weights (`raw`), writes `neighbours.png`: samples beside training images."""
        import torch

        from src.data.dataset import read_all
        from src.evaluation.image_metrics import left_out
        from src.evaluation.metrics.discriminator_gap import discriminator_gap
        from src.evaluation.protocol import Protocol, evaluate, sample_count
        from src.modalities.modality import ShowsNeighbours
        from src.models.capabilities import Discriminates
        from src.parallel.collectives import is_first, total

        device = self.place(model)
        protocol = Protocol(self.extractor_name, self.weights, self.samples, self.split)
        count = sample_count(dataset, protocol)
        if (few := left_out(count)) and is_first():
            print(f"{count} images are too few for {few}: left out", flush=True)
        cond = model.conditions(range(self.seed, self.seed + count))  # type: ignore[operator]

        def measured(samples: "Tensor") -> dict[str, Any]:
            return evaluate(lambda _: samples, dataset, protocol, self.cache, cond.get("y"), self.extractor)

        cpu = time.process_time()
        drawn = sampler(model, dataset.spec, self.seed, show=True)(count)
        cpu = total(time.process_time() - cpu)
        record = measured(drawn)
        raw = measured(sampler(model, dataset.spec, self.seed, "raw", show=True)(count)) if model.ema and self.raw else record
        likelihood = self.measure_likelihood(model, dataset)
        if not is_first():
            return {}
        if likelihood:
            add_likelihood(record, likelihood)
        if isinstance(model, Discriminates):
            split = dataset.split(self.split)
            real = {name: torch.from_numpy(read_all(split, name)[:count].copy()) for name in ("x", *cond)}
            record["metrics"] |= discriminator_gap(logits(model, real), logits(model, {"x": drawn, **cond}))
        if isinstance(modality, ShowsNeighbours):
            draw_neighbours(folder / "neighbours.png", drawn[:NEIGHBOUR_ROWS], dataset, modality)
        record["protocol"] |= {
            "quantisation": QUANTISATION if dataset.spec.x.dtype == "uint8" else "none: float32 coordinates",
            "weights": "ema" if model.ema else "raw (this model keeps no average)",
            "first_seed": self.seed,
            "device": device,
        }
        record["cost"] = {"sampling_cpu_seconds_per_1000": round(1000 * cpu / count, 3)}
        return record | ({"raw": raw["metrics"]} if self.raw else {})

    def measure_likelihood(self, model: "Model", dataset: "Dataset") -> "Measured | None":
        """Of `likelihood` images of the split; None if it is not asked for, or the model has none."""
        from src.evaluation.image_likelihood import measure
        from src.evaluation.scoring import subset
        from src.models.capabilities import Likelihood

        field = dataset.spec.x
        if not self.likelihood or not isinstance(model, Likelihood) or (field.kind, field.dtype) != ("image", "uint8"):
            return None
        rows = subset(len(dataset.split(self.split)), self.likelihood, 0, "likelihood")  # the same images for every seed
        return measure(model, dataset, self.split, rows)

    def place(self, model: "Model") -> str:
        """Move the model to `device`, if that is set, and the extractor to the model's device; returns its type."""
        if self.device is not None:
            model.to(self.device)
        self.extractor.to(model.device)
        return model.device.type


def add_likelihood(record: dict[str, Any], found: "Measured") -> None:
    """Add bits per dimension to a record. Its protocol stays: models without a likelihood are in the same table."""
    from src.evaluation.image_likelihood import COLUMNS, CONTROL_NAMES

    key = "bits_per_dim"
    record["metrics"][key] = found.metrics[key]
    record["columns"] += [column._asdict() for column in COLUMNS if column.key == key]
    record["controls"] |= {name: {key: metrics[key]} for name, metrics in found.controls.items()}
    record["control_names"] = record["control_names"] | CONTROL_NAMES
    record["bounds"] = {metric: bound for metric, bound in found.bounds.items() if metric == key}


def sampler(model: Any, spec: Spec, seed: int, weights: str = "ema", show: bool = False) -> Callable[[int], "Tensor"]:
    """A function n -> samples [n, ...] for the seeds seed .. seed + n - 1, in the data's dtype (uint8 images).

    Each rank generates a part of them; every rank gets all. show: whether rank 0 says on stderr how far it is.
    """
    import torch

    from src.models.latent import SAMPLE_BATCH
    from src.parallel.collectives import is_first, shared

    def part(rows: slice) -> "Tensor":
        line, found = Line(sys.stderr), []
        for start in range(rows.start, rows.stop, PORTION):
            stop = min(start + PORTION, rows.stop)
            samples = model.sample(range(seed + start, seed + stop), weights=weights)
            if samples.isnan().any():
                raise Diverged("the samples contain NaN: the model has diverged, lower its learning rates or raise the penalty")
            found.append(spec.x.to_data(samples))
            if show and is_first():
                line.count(stop - rows.start, rows.stop - rows.start, "samples")
        line.end()
        return torch.cat(found)

    return lambda n: torch.cat(shared(part, n, SAMPLE_BATCH))


def logits(model: Any, data: dict[str, "Tensor"]) -> "Tensor":
    """The discriminator's logits [N] for samples in the data's dtype, in evaluation mode."""
    import torch

    found = []
    with torch.no_grad():
        for start in range(0, len(data["x"]), BATCH):
            batch = {name: part[start : start + BATCH].to(model.device) for name, part in data.items()}
            found.append(model.discriminate(model.spec.to_model(batch)).cpu())
    return torch.cat(found)


def draw_neighbours(path: Path, drawn: "Tensor", dataset: "Dataset", modality: Any) -> None:
    """Write a picture of samples beside their nearest training images by Euclidean distance, which makes copies visible."""
    import torch

    from src.data.dataset import read_all
    from src.evaluation.metrics.neighbours import nearest

    train = torch.from_numpy(read_all(dataset.split("train"), "x").copy())
    _, rows = nearest(drawn.flatten(1).float(), train.flatten(1).float(), k=NEIGHBOURS)
    modality.neighbours(drawn, train[rows], path)
