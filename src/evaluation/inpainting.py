"""The suite for pictures with a hole that a model fills."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from src.config.errors import UserError
from src.evaluation.pair_suite import PairSuite

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from src.data.dataset import Dataset
    from src.evaluation.cache import Arrays
    from src.evaluation.pair_protocol import Reference
    from src.models.model import Model


class InpaintingSuite(PairSuite):
    """Measures fills of holes in unseen pictures, see PairSuite; pixels outside the hole are always those of the picture.

    PSNR and L1 are those of the hole, everything else of the whole picture. The hole of a picture depends on `seed` and on its
    row, not on the model's weights or the run's seed.
    """

    name = "inpainting"

    def check_model(self, model: "Model") -> None:
        """See Suite."""
        super().check_model(model)
        if "mask" not in model.conditions(range(1)):  # type: ignore[operator]
            raise UserError(
                f"evaluation=inpainting measures filled holes, and {type(model).__name__} fills none: take model=inpainting "
                "or another evaluation="
            )

    def masks(self, model: "Model", dataset: "Dataset", split: str, rows: "np.ndarray", seed: int) -> "Tensor":
        from src.evaluation.pair_protocol import masks_of

        masks = masks_of(model, dataset, split, rows, seed)
        if not masks.flatten(1).any(dim=1).all():
            raise UserError("a picture has no hole to measure: let the model's masks cover at least a pixel")
        return masks

    def finished(self, drawn: "Tensor", targets: "Tensor", masks: "Tensor | None") -> "Tensor":
        from src.evaluation.metrics.fills import composed

        assert masks is not None
        return composed(targets, masks, drawn)

    def sources(self, reference: "Reference") -> "Tensor":
        import torch

        assert reference.masks is not None
        return torch.where(reference.masks, torch.full_like(reference.targets, 128), reference.targets)

    def candidates(self, reference: "Reference", known: "Arrays") -> "Mapping[str, Tensor]":
        """See the functions of metrics/fills.py; shuffled_fill: another unseen picture's pixels."""
        from src.evaluation.metrics.fills import composed, diffusion_fill, mean_fill, nearest_fill

        pictures, masks = reference.targets, reference.masks
        assert masks is not None
        return {
            "mean_fill": mean_fill(pictures, masks),
            "diffusion_fill": diffusion_fill(pictures, masks),
            "nearest_fill": nearest_fill(pictures, masks, reference.train)[0],
            "shuffled_fill": composed(pictures, masks, reference.others()),
        }
