"""The suite for music: nats per voice-step, frame and onset, and of samples distances, voice leading, harmony and copies.

Beside the model stand n-grams of notes, real pieces, real pieces that are spoiled, and copies of training pieces; see
src/evaluation/music_protocol.py. torch is imported lazily: config errors must not wait for it.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from src.config.errors import UserError
from src.data.music.notes import bar_steps
from src.data.spec import Spec
from src.evaluation.suite import Main, record

if TYPE_CHECKING:
    import numpy as np

    from src.data.dataset import Dataset
    from src.evaluation.music_protocol import Reference
    from src.models.model import Model

VALIDATION_SEED = 1_000_000  # first seed of validation samples: the final evaluation draws others
KINDS = {"tokens": 2, "roll": 3}  # kind of data -> its dimensions


class MusicSuite:
    """Measures models of music: their likelihood, if they have one, and their samples, if they draw any.

    samples: number of the model's samples and of unseen pieces that are compared, fewer if the split has fewer.
    validation_samples: pieces that are scored per validation, or samples that are drawn. scored: most pieces of the split whose
    likelihood is measured. seed: sample i has seed + i. split: of the unseen pieces. metre: of the bars in which distances and
    rhythms are measured, for pieces in other metres too.
    device: device of the final evaluation, None for the model's. cache: folder for what is measured of the controls.
    """

    better = "lower"

    def __init__(
        self,
        samples: int = 1000,
        validation_samples: int = 256,
        scored: int = 2000,
        seed: int = 3_000_000,
        split: str = "test",
        metre: str = "4/4",
        device: str | None = None,
        cache: str | Path = ".cache",
    ) -> None:
        if samples < 2:
            raise UserError(f"evaluation.samples={samples}: must be at least 2")
        self.bar = bar_steps(metre)
        self.scores = True
        self.samples, self.validation_samples, self.scored = samples, validation_samples, scored
        self.seed, self.split, self.metre = seed, split, metre
        self.device, self.cache = device, Path(cache)
        self.references: dict[str, Reference] = {}  # of each data set, for `validate`

    def check(self, spec: Spec) -> None:
        """See Suite."""
        if KINDS.get(spec.kind) != len(spec.shape) or not spec.x.names:
            shape = list(spec.shape)
            raise UserError(f"evaluation=music measures music, not {spec.kind} of shape {shape}: take another evaluation=")
        steps = spec.shape[1 if spec.kind == "roll" else 0]
        if self.bar % 2 or steps < 2 * self.bar:
            raise UserError(
                f"evaluation=music compares windows of two bars, of an even number of steps each: data.bars of at least 2, and "
                f"not metre={self.metre} for pieces of {steps} steps"
            )

    @property
    def main(self) -> Main:
        """Nats per voice-step; the Fréchet distance of samples after `check_model` has seen a model without likelihood."""
        from src.evaluation.extractors.tunes import NAME

        return Main("nats" if self.scores else f"fd_{NAME}", self.better)

    def check_model(self, model: "Model") -> None:
        """See Suite; chooses `main`."""
        from src.models.capabilities import Likelihood, Samples

        self.scores = isinstance(model, Likelihood)
        if not self.scores and not isinstance(model, Samples):
            raise UserError(
                f"{type(model).__name__} has no likelihood (nll) and draws no samples: evaluation=music measures nothing of it"
            )

    def validate(self, model: "Model", dataset: "Dataset") -> float:
        """`main` of `validation_samples` pieces of the validation split, or samples, whose distance is that to training pieces.

        The distance is biased upwards for few samples: compare only values of the same number.
        """
        from src.evaluation.music_protocol import WINDOWS, Reference, pieces_of
        from src.evaluation.scoring import draw, subset
        from src.models.capabilities import Samples
        from src.parallel.collectives import from_first

        if self.scores:
            split = dataset.split("validation")
            rows = subset(len(split), self.validation_samples, 0, "validation")
            return self.nats(model, dataset, "validation", rows)["nats"]
        if dataset.name not in self.references:
            self.references[dataset.name] = Reference(dataset, self.split, self.samples, self.scored, self.metre)
        reference = self.references[dataset.name]
        assert isinstance(model, Samples)
        drawn = draw(model, dataset, VALIDATION_SEED, self.validation_samples, "validation", without=["melody"])
        return from_first(lambda: reference.distance(reference.place(pieces_of(drawn, dataset.spec)), WINDOWS))

    def nats(
        self, model: "Model", dataset: "Dataset", split: str, rows: "np.ndarray", harmony: bool = False, show: bool = False
    ) -> dict[str, float]:
        """The likelihood of these pieces of a split on all scales. show: whether rank 0 counts them.

        harmony: of all voices but the highest, which is given; empty if the model does not tell the nats of each symbol.
        Otherwise of all voices, and no melody is given.
        """
        from src.evaluation.music_protocol import HARMONY, scored_of
        from src.evaluation.scoring import score, score_symbols
        from src.models.capabilities import SymbolLikelihood

        source, spec = dataset.split(split), dataset.spec
        scored = scored_of(source.batch(rows), spec.x.names)
        if not isinstance(model, SymbolLikelihood):
            if harmony:
                return {}
            each, symbols = score(model, spec, source, rows, final=show)
            return scored.in_units(each * symbols)

        def read(rows: "np.ndarray") -> dict[str, "np.ndarray"]:
            batch = source.batch(rows)
            return batch if harmony else {name: part for name, part in batch.items() if name != "melody"}

        nats = score_symbols(model, spec, read, rows, "pieces" if show else "").reshape(scored.x.shape)
        if not harmony:
            return scored.in_units(scored.total(nats))
        others = scored.voice(1)
        return {f"{HARMONY}_{key}": value for key, value in others.in_units(others.total(nats[:, :, 1:])).items()}

    def evaluate(self, model: "Model", dataset: "Dataset", modality: Any, folder: Path) -> dict[str, Any]:
        """See Suite; nothing is written to the folder."""
        from src.evaluation.metrics.music.interpolation import monotone
        from src.evaluation.music_columns import CONTROL_NAMES, HARMONY, columns
        from src.evaluation.music_protocol import Reference, crossfades, pieces_of
        from src.evaluation.scoring import bound_of, draw, interpolations
        from src.models.capabilities import InterpolatesBetween, Samples
        from src.parallel.collectives import is_first

        self.check(dataset.spec)
        if self.device:
            model.to(self.device)
        self.check_model(model)
        reference = Reference(dataset, self.split, self.samples, self.scored, self.metre)
        metrics, given = dict[str, Any](), harmonises(model, dataset.spec)
        if self.scores:
            metrics |= self.nats(model, dataset, self.split, reference.rows_scored, show=True)
            if given:
                metrics |= self.nats(model, dataset, self.split, reference.rows_scored, harmony=True, show=True)
        drawn: Any = None
        harmonised: Any = None
        if isinstance(model, Samples):
            ask = (model, dataset, self.seed, reference.samples, self.split)
            drawn = draw(*ask, show=True, without=["melody"])
            if given:
                harmonised = draw(*ask, show=True)
        between: Any = None
        if isinstance(model, InterpolatesBetween) and len(reference.rows) >= 2:
            between = interpolations(model, dataset, self.split, reference.rows)
        if not is_first():
            return {}
        controls = reference.controls(self.cache)
        if between is not None:
            metrics |= monotone(*between)
            controls |= crossfades(*between)
        if drawn is not None:
            metrics |= reference.measure(pieces_of(drawn, dataset.spec))
        if harmonised is not None:
            found = reference.measure_voices(pieces_of(harmonised, dataset.spec))
            metrics |= {f"{HARMONY}_{key}": value for key, value in found.items()}
        more: dict[str, Any] = {"device": str(model.device)}
        if self.scores and (bound := bound_of(model)):
            more["bounds"] = dict.fromkeys(("nats", "nats_frame", "nats_onset"), bound)
        names = {name: CONTROL_NAMES[name] for name in controls}
        shown = list(columns(metrics, reference.features.name))
        return record(self.main, shown, metrics, controls, names, reference.described, **more)


def harmonises(model: Any, spec: Spec) -> bool:
    """Whether a model takes the melody of the data as a condition."""
    from src.models.capabilities import Samples

    return "melody" in spec.fields and isinstance(model, Samples) and "melody" in model.conditions(range(1))
