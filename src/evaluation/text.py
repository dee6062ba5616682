"""The suite for generated text: nats per character, and of samples variety, copies, form, and overlap with references.

Everything is measured in characters, whatever the tokens are. Beside the model stand n-gram models, real text, shuffled text
and copies of training text; see src/evaluation/text_protocol.py.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from src.config.errors import UserError
from src.data.dataset import Dataset
from src.data.spec import Spec
from src.evaluation.metrics.text_distance import TextDistance
from src.evaluation.metrics.texts import overlap
from src.evaluation.scoring import bound_of, draw, subset
from src.evaluation.suite import Main, record
from src.evaluation.text_columns import CONTROL_NAMES, FD, columns
from src.evaluation.text_protocol import Reference, likelihood, split_texts, texts_of
from src.models.capabilities import Likelihood, Samples
from src.models.model import Model
from src.parallel.collectives import from_first, is_first

VALIDATION_SEED = 1_000_000  # first seed of validation samples: the final evaluation draws others


class TextSuite:
    """Measures models of tokens with a vocabulary: their likelihood, if they have one, and their samples, if they draw any.

    samples: number of the model's samples. validation_samples: texts that are scored per validation, or samples that are drawn.
    scored: most texts of the split whose likelihood is measured. seed: sample i has seed + i. split: of the unseen texts.
    group: samples that are compared with each other, fewer if the split has fewer texts: distinct-n and self-BLEU depend on the
    number of texts, so that they are measured in groups of equal size, and averaged, for models and controls alike.
    device: device of the final evaluation, None for the model's. cache: folder for what is measured of the controls.
    """

    better = "lower"

    def __init__(
        self,
        samples: int = 2000,
        validation_samples: int = 512,
        scored: int = 10_000,
        seed: int = 3_000_000,
        split: str = "test",
        group: int = 500,
        device: str | None = None,
        cache: str | Path = ".cache",
    ) -> None:
        if samples < 2 or group < 2:
            raise UserError(f"evaluation.samples={samples}, evaluation.group={group}: both must be at least 2")
        self.scores = True
        self.samples, self.validation_samples, self.scored = samples, validation_samples, scored
        self.seed, self.split, self.group = seed, split, group
        self.device, self.cache = device, Path(cache)
        self.distances: dict[str, TextDistance] = {}  # of each data set, for `validate`

    def check(self, spec: Spec) -> None:
        """See Suite."""
        if (spec.kind, len(spec.shape)) != ("tokens", 1) or "int" not in spec.x.dtype or not spec.x.names:
            raise UserError(f"evaluation=text measures tokens with a vocabulary, not {spec.kind}: take another evaluation=")

    @property
    def main(self) -> Main:
        """Nats per character; the distance of samples after `check_model` has seen a model without likelihood."""
        return Main("nats" if self.scores else FD, self.better)

    def check_model(self, model: Model) -> None:
        """See Suite; chooses `main`."""
        self.scores = isinstance(model, Likelihood)
        if not self.scores and not isinstance(model, Samples):
            raise UserError(
                f"{type(model).__name__} has no likelihood (nll) and draws no samples: evaluation=text measures nothing of it"
            )

    def validate(self, model: Model, dataset: Dataset) -> float:
        """`main` of `validation_samples` texts of the validation split, or samples, whose distance is that to training texts.

        The distance is biased upwards for few samples: compare only values of the same number.
        """
        if self.scores:
            split = dataset.split("validation")
            rows = subset(len(split), self.validation_samples, 0, "validation")
            return likelihood(model, dataset.spec, split, rows)["nats"]
        drawn = self.draw(model, dataset, VALIDATION_SEED, self.validation_samples, "validation")  # type: ignore[arg-type]
        return from_first(lambda: self.distance(drawn, dataset))

    def distance(self, drawn: Sequence[str], dataset: Dataset) -> float:
        """Fréchet distance of samples to the training texts."""
        if dataset.name not in self.distances:
            self.distances[dataset.name] = TextDistance(split_texts(dataset.split("train"), dataset.spec.x.names))
        return self.distances[dataset.name](drawn)

    def evaluate(self, model: Model, dataset: Dataset, modality: Any, folder: Path) -> dict[str, Any]:
        """See Suite; nothing is written to the folder."""
        self.check(dataset.spec)
        if self.device:
            model.to(self.device)
        split, metrics = dataset.split(self.split), dict[str, Any]()
        self.check_model(model)
        if self.scores:
            metrics |= likelihood(model, dataset.spec, split, subset(len(split), self.scored, 0, "scored"), show=True)
        drawn = (
            self.draw(model, dataset, self.seed, self.samples, self.split, show=True) if isinstance(model, Samples) else None
        )
        if not is_first():
            return {}
        reference = Reference(dataset, self.split, self.samples, self.scored, self.group)
        controls = reference.controls(self.cache)
        if drawn is not None:
            metrics |= reference.measure(drawn)
            if isinstance(model, Samples) and "source" in model.conditions(range(1)):
                count = min(len(drawn), len(split))
                metrics |= overlap(drawn[:count], reference.unseen[:count])
        shown = list(columns(metrics, reference.features_name))
        names = {name: CONTROL_NAMES[name] for name in controls}
        more: dict[str, Any] = {"device": str(model.device)}
        if self.scores and (bound := bound_of(model)):
            more["bounds"] = dict.fromkeys(("nats", "perplexity"), bound)
        return record(self.main, shown, metrics, controls, names, reference.described, **more)

    def draw(
        self, model: Samples, dataset: Dataset, seed: int, count: int, name: str, show: bool = False, **how: Any
    ) -> list[str]:
        """Texts of the seeds seed .. seed + count - 1. Their conditions are those of a split's texts, in turn.

        how: further arguments of the model's `sample`.
        """
        return texts_of(draw(model, dataset, seed, count, name, show, **how), dataset.spec.x.names)
