"""What the suites for pictures that are made from pictures share: perceptual distance first, then pixels, distances, copies.

The protocol is in src/evaluation/pair_protocol.py. torch is imported lazily: config errors must not wait for it.
"""

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from src.config.errors import UserError
from src.data.spec import Spec
from src.evaluation.suite import Main, record

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from src.data.dataset import Dataset
    from src.evaluation.cache import Arrays
    from src.evaluation.extractors.extractor import Extractor
    from src.evaluation.pair_protocol import Reference
    from src.models.model import Model

VALIDATION_SEED = 1_000_000  # first seed of validation samples: the final evaluation draws others
STAGED = "efficientnet-lite0", "digits", "fashion"  # extractors with a perceptual distance, as in extractors/extractor.py
SMALLEST = 11  # pixels, SSIM's window
NEIGHBOURS = 8


class PairSuite:
    """Measures samples of models that make a picture from a picture, beside the pictures that they should be.

    extractor: one of STAGED; perceptual distance, Fréchet distance and copies are measured in its features.
    samples: most pairs of the split, fewer if the split, or the training split, has fewer. validation_samples: pairs per
    validation. seed: the sample of the split's row r has seed + r. split: of the unseen pairs.
    device: device of the evaluation; None for the model's. cache: folder for what is measured of real data and of the controls.
    paired: whether unseen sources have a true target. Without, sets of pictures are compared, and `main` is their distance.
    """

    name: str  # in conf/evaluation
    reads = "source"  # the condition that samples are made from
    better = "lower"

    def __init__(
        self,
        extractor: str = "efficientnet-lite0",
        samples: int = 1000,
        validation_samples: int = 64,
        seed: int = 3_000_000,
        split: str = "test",
        device: str | None = None,
        cache: str | Path = ".cache",
        paired: bool = True,
    ) -> None:
        if samples < 2:
            raise UserError(f"evaluation.samples={samples}: must be at least 2")
        self.extractor_name, self.samples, self.validation_samples = extractor, samples, validation_samples
        self.seed, self.split, self.device, self.cache, self.paired = seed, split, device, Path(cache), paired
        self.validation: dict[str, Callable[[Tensor], float]] = {}  # of each data set

    @cached_property
    def extractor(self) -> "Extractor":
        from src.evaluation.extractors.extractor import load_extractor

        return load_extractor(self.extractor_name)

    @property
    def main(self) -> Main:
        return Main(f"{'perceptual' if self.paired else 'fd'}_{self.extractor_name}", self.better)

    def check(self, spec: Spec) -> None:
        """See Suite."""
        if spec.kind != "image" or spec.x.dtype != "uint8":
            raise UserError(f"evaluation={self.name} measures pictures, not {spec.kind}: take another evaluation=")
        if min(spec.shape[1:]) < SMALLEST:
            size = " x ".join(map(str, spec.shape[1:]))
            raise UserError(f"evaluation={self.name} needs pictures of at least {SMALLEST} x {SMALLEST} pixels, not {size}")
        if self.extractor_name not in STAGED:
            raise UserError(
                f"evaluation.extractor={self.extractor_name} has no perceptual distance: take one of {', '.join(STAGED)}"
            )

    def check_model(self, model: "Model") -> None:
        """See Suite."""
        from src.models.capabilities import Samples

        if not isinstance(model, Samples) or self.reads not in model.conditions(range(1)):
            raise UserError(
                f"evaluation={self.name} measures what a model makes of a {self.reads}, and {type(model).__name__} reads none: "
                "take another evaluation="
            )

    # What suites do differently

    def finished(self, drawn: "Tensor", targets: "Tensor", masks: "Tensor | None") -> "Tensor":
        """What is measured of samples, all [N, C, H, W]."""
        return drawn

    def masks(self, model: "Model", dataset: "Dataset", split: str, rows: "np.ndarray", seed: int) -> "Tensor | None":
        """The pixels bool [N, 1, H, W] that are measured; None for all."""
        return None

    def candidates(self, reference: "Reference", known: "Arrays") -> "Mapping[str, Tensor]":
        """The controls' pictures [N, C, H, W] by name."""
        raise NotImplementedError

    def of_model(
        self, model: "Model", reference: "Reference", drawn: "Tensor"
    ) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
        """Further metrics, and controls that depend on the model, whose samples are `drawn` [N, C, H, W]. All ranks call it."""
        return {}, {}

    def own_candidates(self, model: "Model", reference: "Reference") -> "Mapping[str, Tensor]":
        """Pictures [N, C, H, W] of controls that the model draws, by name. All ranks call it."""
        return {}

    def sources(self, reference: "Reference") -> "Tensor":
        """What the model was given, for a picture: uint8 [N, C, H, W]."""
        raise NotImplementedError

    # Measurement

    def draw(self, model: "Model", dataset: "Dataset", split: str, rows: "np.ndarray", seed: int, show: bool = False) -> Any:
        """(samples as they are measured, masks) of these rows; every rank gets all."""
        from src.evaluation.pair_protocol import draw, read

        drawn, masks = draw(model, dataset, split, rows, seed, show), self.masks(model, dataset, split, rows, seed)
        return self.finished(drawn, read(dataset.split(split), rows), masks), masks

    def validate(self, model: "Model", dataset: "Dataset") -> float:
        """`main` of `validation_samples` rows of the validation split.

        A Fréchet distance is biased upwards for few samples: compare only values of the same number.
        """
        from src.evaluation.pair_protocol import Perceptual, Together, read
        from src.evaluation.scoring import subset
        from src.parallel.collectives import from_first

        self.place(model)
        split = dataset.split("validation")
        rows = subset(len(split), self.validation_samples, 0, "validation")
        drawn, _ = self.draw(model, dataset, "validation", rows, VALIDATION_SEED)

        def distance() -> float:
            if dataset.name not in self.validation:
                measure = Perceptual if self.paired else Together
                self.validation[dataset.name] = measure(read(split, rows), self.extractor)
            return self.validation[dataset.name](drawn)

        return from_first(distance)

    def score(self, model: "Model", dataset: "Dataset") -> float:
        """`main` of another model on the split of the evaluation, without the rest."""
        from src.evaluation.pair_protocol import Together
        from src.parallel.collectives import from_first

        self.place(model)
        reference = self.reference(dataset)
        drawn, _ = self.draw(model, dataset, self.split, reference.rows, self.seed)

        def value() -> float:
            if self.paired:
                return reference.compared({"": drawn})[""][0][self.main.name]
            return Together(reference.targets, self.extractor)(drawn)

        return from_first(value)

    def evaluate(self, model: "Model", dataset: "Dataset", modality: Any, folder: Path) -> dict[str, Any]:
        """See Suite. Writes `pairs.png`, what samples are made from, samples and targets, and `neighbours.png`."""
        from src.evaluation.pair_columns import CONTROL_NAMES, columns
        from src.parallel.collectives import is_first

        self.check(dataset.spec)
        self.check_model(model)
        device = self.place(model)
        reference = self.reference(dataset)
        drawn, reference.masks = self.draw(model, dataset, self.split, reference.rows, self.seed, show=True)
        more_metrics, more_controls = self.of_model(model, reference, drawn)
        own = self.own_candidates(model, reference)
        if not is_first():
            return {}
        described = reference.described(self.name) | {"first_seed": self.seed}
        known = reference.known(self.cache, described)
        controls = reference.controls(self.cache, described, known, lambda known: self.candidates(reference, known))
        measured = reference.measure({"": drawn, **own}, known)
        metrics = measured.pop("") | more_metrics
        controls |= measured | more_controls
        self.show(reference, drawn, known, modality, folder)
        shown = columns(metrics, self.extractor.name)
        names = {name: CONTROL_NAMES[name] for name in controls}
        more = {"weights": "ema" if model.ema else "raw (this model keeps no average)", "device": device}
        return record(self.main, shown, metrics, controls, names, described | more)

    def show(self, reference: "Reference", drawn: "Tensor", known: "Arrays", modality: Any, folder: Path) -> None:
        """Write pictures of a few pairs, and of samples beside the training pictures nearest to them in the features."""
        from src.evaluation.pair_protocol import picture, shown_rows
        from src.modalities.modality import ShowsInterpolations

        if isinstance(modality, ShowsInterpolations):
            columns = [self.sources(reference), drawn, reference.targets]
            modality.strip(picture(columns, shown_rows(len(drawn))), folder / "pairs.png")
        self.show_neighbours(reference, drawn, known, modality, folder)

    def show_neighbours(self, reference: "Reference", drawn: "Tensor", known: "Arrays", modality: Any, folder: Path) -> None:
        import torch

        from src.evaluation.metrics.neighbours import nearest
        from src.evaluation.pair_protocol import shown_rows
        from src.modalities.modality import ShowsNeighbours

        rows = shown_rows(len(drawn))
        if isinstance(modality, ShowsNeighbours):
            train = torch.from_numpy(known["train"])
            _, found = nearest(self.extractor(drawn[rows]).features, train, k=min(NEIGHBOURS, len(train)))
            modality.neighbours(drawn[rows], reference.train[found], folder / "neighbours.png")

    def reference(self, dataset: "Dataset") -> "Reference":
        from src.evaluation.pair_protocol import Reference

        return Reference(dataset, self.extractor, self.split, self.samples, self.paired)

    def place(self, model: "Model") -> str:
        """Move the model to `device`, if that is set, and the extractor to the model's device; returns its type."""
        if self.device is not None:
            model.to(self.device)
        self.extractor.to(model.device)
        return model.device.type
