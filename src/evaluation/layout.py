"""The suite for pictures that are drawn from layouts: objects found against asked, distances in features, copies.

A classifier of real crops looks at the boxes of the samples: the object accuracy of Zhao et al. 2019 (arXiv:1811.11389).
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from src.config.errors import UserError
from src.data.spec import Spec
from src.evaluation.pair_suite import VALIDATION_SEED, PairSuite
from src.evaluation.suite import Main

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from src.data.dataset import Dataset
    from src.evaluation.cache import Arrays
    from src.evaluation.layout_protocol import LaidOut, ObjectClassifier
    from src.evaluation.pair_protocol import Reference
    from src.models.model import Model


class LayoutSuite(PairSuite):
    """Measures samples that are drawn from the layouts of unseen pictures, see PairSuite for the arguments.

    `main` is the share of the asked objects that a classifier finds at their place, 0 to 1; see ObjectClassifier.
    """

    name = "layout"
    reads = "layout"
    better = "higher"
    main = Main("found", better)

    def __init__(self, extractor: str = "efficientnet-lite0", **settings: Any) -> None:
        super().__init__(extractor, **settings, paired=False)
        self.classifiers: dict[str, ObjectClassifier] = {}  # of each data set

    def check(self, spec: Spec) -> None:
        """See Suite."""
        super().check(spec)
        if "layout" not in spec.fields:
            raise UserError("evaluation=layout is for pictures with layouts: take such data (data=named_scenes)")

    def classifier(self, dataset: "Dataset") -> "ObjectClassifier":
        from src.evaluation.layout_protocol import ObjectClassifier

        if dataset.name not in self.classifiers:
            self.classifiers[dataset.name] = ObjectClassifier(dataset, self.cache)
        return self.classifiers[dataset.name]

    def validate(self, model: "Model", dataset: "Dataset") -> float:
        """`main` of `validation_samples` layouts of the validation split."""
        from src.evaluation.scoring import subset

        rows = subset(len(dataset.split("validation")), self.validation_samples, 0, "validation")
        return self.share_found(model, dataset, "validation", rows, VALIDATION_SEED)

    def score(self, model: "Model", dataset: "Dataset") -> float:
        """`main` of another model on the split of the evaluation, without the rest."""
        return self.share_found(model, dataset, self.split, self.reference(dataset).rows, self.seed)

    def share_found(self, model: "Model", dataset: "Dataset", split: str, rows: "np.ndarray", seed: int) -> float:
        from src.evaluation.pair_protocol import read
        from src.parallel.collectives import from_first

        self.place(model)
        drawn, _ = self.draw(model, dataset, split, rows, seed)
        layouts = read(dataset.split(split), rows, "layout")
        return from_first(lambda: self.classifier(dataset).found(drawn, layouts).double().mean().item())

    def reference(self, dataset: "Dataset") -> "LaidOut":
        from src.evaluation.layout_protocol import LaidOut
        from src.parallel.collectives import from_first

        from_first(lambda: self.classifier(dataset).described)  # rank 0 trains it, the others read its weights
        return LaidOut(dataset, self.extractor, self.split, self.samples, self.classifier(dataset))

    def candidates(self, reference: "Reference", known: "Arrays") -> "Mapping[str, Tensor]":
        from src.evaluation.pair_protocol import read

        return {"nearest_layout": read(reference.train_split, cast("LaidOut", reference).nearest)}

    def of_model(
        self, model: "Model", reference: "Reference", drawn: "Tensor"
    ) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
        """shuffled_layouts: the samples, looked at in the boxes of the row before."""
        laid_out = cast("LaidOut", reference)
        return {}, {"shuffled_layouts": laid_out.agreement(drawn, laid_out.layouts.roll(1, dims=0))}

    def sources(self, reference: "Reference") -> "Tensor":
        """The boxes of the layouts."""
        from src.evaluation.layout_protocol import outlines

        return outlines(cast("LaidOut", reference).layouts, reference.targets.shape[-1])
