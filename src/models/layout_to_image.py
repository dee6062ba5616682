"""Pictures from layouts (Zhao et al. 2019, arXiv:1811.11389), by flow matching with classifier-free guidance."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from src.config.errors import UserError
from src.data.spec import Batch, Field, Spec
from src.models.flow import Flow


class LayoutToImage(Flow):
    """Flow matching, see Flow, where the network is given what lies where.

    network: as of ODEModel; y are layouts [B, M, 5]: class, x, y, width and height of each object, in shares of the picture's
    side, those behind first. See the argument `layout` of UNet.
    condition_dropout: share of the training samples with the empty layout, the learned null, which guidance needs.
    settings: see Flow. Pairs by optimal transport are of no use: layouts differ, so that nothing could be exchanged.
    """

    condition_field = "layout"

    def __init__(self, spec: Spec, seed: int, **settings: Any) -> None:
        names = layout_field(spec).names
        super().__init__(spec, seed, conditional=True, **settings)
        assert self.classes == len(names), "the network must read layouts"

    @property
    def null(self) -> int:
        """0: boxes without width, which are the empty layout."""
        return 0

    def conditions(self, seeds: Sequence[int]) -> Batch:
        """See Samples: empty layouts, {"layout": [N, M, 5]}. They mean: any picture."""
        return {"layout": torch.zeros(len(seeds), *layout_field(self.spec).shape)}

    def conditions_from(self, batch: Batch, seeds: Sequence[int]) -> Batch:
        """See ConditionsFromData: the layouts of the batch."""
        return {"layout": batch["layout"]}

    def example_inputs(self) -> dict[str, Tensor]:
        """See Exports."""
        return {"x_t": torch.zeros(2, *self.spec.shape), "t": torch.full((2,), 0.5), **self.conditions(range(2))}


def layout_field(spec: Spec) -> Field:
    """The field `layout`; UserError for data without one."""
    if "layout" not in spec.fields:
        raise UserError("this model draws what layouts say, and the data have none: take data=named_scenes")
    return spec.fields["layout"]
