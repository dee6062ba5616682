"""The suite for video: distances of clips and of their frames, how digits move, and copies.

Beside the model stand real clips, real clips that are spoiled, and copies of training clips; see
src/evaluation/video_protocol.py. torch is imported lazily: config errors must not wait for it.
"""

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from src.config.errors import UserError
from src.data.spec import Spec
from src.evaluation.suite import Main, record

if TYPE_CHECKING:
    from src.data.dataset import Dataset
    from src.evaluation.extractors.extractor import Extractor
    from src.evaluation.video_protocol import Reference
    from src.models.model import Model

VALIDATION_SEED = 1_000_000  # first seed of validation samples: the final evaluation draws others


class VideoSuite:
    """Measures samples of video; the model needs the capability Samples.

    extractor: of single frames, see src/evaluation/extractors; None if the data's config names none, which `check` refuses.
    samples: number of the model's samples and of unseen clips that are compared, fewer if the split has fewer.
    validation_samples: samples that are drawn per validation. seed: sample i has seed + i. split: of the unseen clips.
    device: device of the final evaluation, None for the model's. cache: folder for what is measured of real clips.
    """

    better = "lower"

    def __init__(
        self,
        extractor: str | None = "digits",
        samples: int = 1000,
        validation_samples: int = 256,
        seed: int = 3_000_000,
        split: str = "test",
        device: str | None = None,
        cache: str | Path = ".cache",
    ) -> None:
        if samples < 2 or validation_samples < 2:
            raise UserError("evaluation.samples and evaluation.validation_samples must be at least 2")
        self.extractor_name, self.samples, self.validation_samples = extractor or "", samples, validation_samples
        self.seed, self.split, self.device, self.cache = seed, split, device, Path(cache)
        self.references: dict[str, Reference] = {}  # of each data set

    @cached_property
    def extractor(self) -> "Extractor":
        from src.evaluation.extractors.extractor import load_extractor

        return load_extractor(self.extractor_name)

    @property
    def main(self) -> Main:
        """The Fréchet distance of clips."""
        from src.evaluation.extractors.clips import NAME

        return Main(f"fd_{NAME}", self.better)

    def check(self, spec: Spec) -> None:
        """See Suite."""
        if spec.kind != "video":
            raise UserError(f"evaluation=video measures video, not {spec.kind}: take another evaluation=")
        if not self.extractor_name or self.extractor_name in ("points", "stacked_digits"):
            raise UserError(
                f"evaluation.extractor={self.extractor_name or 'null'} cannot measure frames: take digits or another extractor"
            )

    def check_model(self, model: "Model") -> None:
        """See Suite."""
        from src.models.capabilities import Samples

        if not isinstance(model, Samples):
            raise UserError(f"evaluation=video needs samples, and {type(model).__name__} draws none: take another evaluation=")

    def validate(self, model: "Model", dataset: "Dataset") -> float:
        """`main` of `validation_samples` samples.

        The distance is biased upwards for few samples: compare only values of the same number.
        """
        from src.evaluation.images import sampler
        from src.parallel.collectives import from_first

        drawn = sampler(model, dataset.spec, VALIDATION_SEED)(self.validation_samples)
        reference = self.reference(model, dataset)
        return from_first(lambda: reference.distance(reference.features(drawn)))

    def evaluate(self, model: "Model", dataset: "Dataset", modality: Any, folder: Path) -> dict[str, Any]:
        """See Suite; nothing is written to the folder."""
        from src.data.pixels import QUANTISATION
        from src.evaluation.images import sampler
        from src.evaluation.video_columns import CONTROL_NAMES, FD_FRAME, columns
        from src.parallel.collectives import is_first

        self.check(dataset.spec)
        self.check_model(model)
        if self.device:
            model.to(self.device)
        reference = self.reference(model, dataset)
        drawn = sampler(model, dataset.spec, self.seed, show=True)(reference.samples).numpy()
        if not is_first():
            return {}
        controls, metrics = reference.controls(), reference.measure(drawn)
        shown = list(columns(metrics, reference.features.name, self.extractor.key(FD_FRAME)))
        protocol = reference.described | {
            "quantisation": QUANTISATION,
            "first_seed": self.seed,
            "weights": "ema" if model.ema else "raw (this model keeps no average)",
        }
        return record(self.main, shown, metrics, controls, CONTROL_NAMES, protocol, device=str(model.device))

    def reference(self, model: "Model", dataset: "Dataset") -> "Reference":
        """Real clips, read and measured once; the extractor goes to the model's device."""
        from src.evaluation.video_protocol import Reference

        self.extractor.to(model.device)
        if dataset.name not in self.references:
            self.references[dataset.name] = Reference(dataset, self.extractor, self.split, self.samples, self.cache)
        return self.references[dataset.name]
