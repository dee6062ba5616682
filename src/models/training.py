"""A model in training, as Lightning sees it. Whoever only draws samples needs no Lightning, whose import takes seconds."""

from collections.abc import Mapping
from typing import Any

from pytorch_lightning import LightningModule
from torch.optim import Optimizer

from src.data.spec import Batch
from src.models.model import Model


class Training(LightningModule):
    """Manual optimization: the model gets the batches and optimizers that Lightning keeps, and makes its updates itself.

    A checkpoint holds the model's weights under the model's own names, and its clock.
    """

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.model = model

    def configure_optimizers(self) -> list[Optimizer]:
        return self.model.configure_optimizers()

    def training_step(self, block: Batch, index: int) -> None:
        self.model.training_step(block, self.optimizers(use_pl_optimizer=False))  # type: ignore[arg-type]

    def state_dict(self, *args: Any, **named: Any) -> dict[str, Any]:  # type: ignore[override]
        return self.model.state_dict(*args, **named)

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        return self.model.load_state_dict(state_dict, strict, assign)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["clock"] = self.model.clock()
        checkpoint.pop("loops", None)  # Lightning's counters: the clock is the only truth

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.model.set_clock(checkpoint["clock"])
