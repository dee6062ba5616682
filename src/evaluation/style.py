"""The suite for pictures in the style of one picture: the terms of the rule's loss, on unseen pictures."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from src.config.errors import UserError
from src.data.spec import Spec
from src.evaluation.suite import Column, Main, record

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from src.data.dataset import Dataset
    from src.models.model import Model
    from src.models.style import Style

VALIDATION_SEED = 1_000_000
BATCH = 16  # pictures
COLUMNS = [
    Column("loss", "loss", "weighted sum of the terms below and of the smoothness, on unseen pictures"),
    Column("content", "content", "squared difference of the content layer's features to the picture's, as a share of these"),
    Column("style", "style", "squared differences of Gram matrices to the style's, as shares of these, summed over layers"),
]
CONTROL_NAMES = {"copy": "the pictures as they are", "style": "the picture of the style itself", "mean_image": "mean picture"}


class StyleSuite:
    """Measures how near a model's pictures are to their content and to the style.

    samples: most pictures of the split. validation_samples: pictures of a validation. split: of the unseen pictures.
    device: device of the evaluation; None for the model's. cache: not used; every suite takes one.
    """

    main = Main("loss", "lower")
    better = main.better

    def __init__(
        self,
        samples: int = 200,
        validation_samples: int = 64,
        split: str = "test",
        device: str | None = None,
        cache: str | Path | None = None,
    ) -> None:
        self.samples, self.validation_samples, self.split, self.device = samples, validation_samples, split, device

    def check(self, spec: Spec) -> None:
        """See Suite."""
        if spec.kind != "image":
            raise UserError(f"evaluation=style measures pictures, not {spec.kind}: take another evaluation=")

    def check_model(self, model: "Model") -> None:
        """See Suite."""
        from src.models.style import Style

        if not isinstance(model, Style):
            raise UserError(f"evaluation=style is for model=style, not for {type(model).__name__}: take another evaluation=")

    def validate(self, model: "Model", dataset: "Dataset") -> float:
        """See Suite."""
        pictures = self.pictures(dataset, "validation", self.validation_samples)
        return self.measure(model, pictures, drawn_by(model))["loss"]

    def evaluate(self, model: "Model", dataset: "Dataset", modality: Any, folder: Path) -> dict[str, Any]:
        """See Suite; nothing is written to the folder."""
        from src.parallel.collectives import is_first

        if self.device:
            model.to(self.device)
        pictures = self.pictures(dataset, self.split, self.samples)
        metrics = self.measure(model, pictures, drawn_by(model))
        controls = {name: self.measure(model, pictures, draw) for name, draw in candidates(model, pictures).items()}
        if not is_first():
            return {}
        protocol = {
            "suite": "style",
            "data": dataset.name,
            "hashes": dataset.hashes(),
            "split": self.split,
            "samples": len(pictures),
        }
        return record(self.main, COLUMNS, metrics, controls, CONTROL_NAMES, protocol, device=str(model.device))

    def pictures(self, dataset: "Dataset", name: str, count: int) -> "np.ndarray":
        """The first pictures of a split, uint8 [N, *shape]."""
        import numpy as np

        split = dataset.split(name)
        return split.batch(np.arange(min(count, len(split))))["x"]

    def measure(self, model: Any, pictures: "np.ndarray", draw: "Callable[[Tensor, range], Tensor]") -> dict[str, float]:
        """The metrics of what `draw` makes of pictures in the model's format and their numbers."""
        import torch

        sums = dict.fromkeys(("loss", "content", "style"), 0.0)
        for start in range(0, len(pictures), BATCH):
            x = model.spec.x.to_model(torch.from_numpy(pictures[start : start + BATCH]), model.dtype).to(model.device)
            with torch.no_grad():
                terms = model.terms(x, draw(x, range(start, start + len(x))).to(x))
                for name, values in {**terms, "loss": model.weighted(terms)}.items():
                    if name in sums:
                        sums[name] += values.sum().item()
        return {name: value / len(pictures) for name, value in sums.items()}


def drawn_by(model: Any) -> "Callable[[Tensor, range], Tensor]":
    return lambda x, rows: model.sample([VALIDATION_SEED + row for row in rows], {"source": x})


def candidates(model: "Style | Any", pictures: "np.ndarray") -> "dict[str, Callable[[Tensor, range], Tensor]]":
    """The controls of CONTROL_NAMES, as functions of pictures."""
    import torch
    from torch.nn.functional import interpolate

    from src.data.pixels import from_uint8

    style = from_uint8(model.picture.cpu())[None]  # [1, 3, S, S]
    if pictures.shape[1] == 1:
        style = style.mean(1, keepdim=True)
    style = interpolate(style, pictures.shape[2:], mode="bilinear", antialias=True)
    mean = from_uint8(torch.from_numpy(pictures).double().mean(0, keepdim=True))
    return {
        "copy": lambda x, rows: x,
        "style": lambda x, rows: style.expand(len(x), -1, -1, -1),
        "mean_image": lambda x, rows: mean.expand(len(x), -1, -1, -1),
    }
