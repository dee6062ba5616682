"""What every evaluation suite offers: one number to choose checkpoints by, a record of all numbers, controls beside them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from src.data.spec import Spec

if TYPE_CHECKING:  # a suite is built, and checked, before torch is imported
    from src.data.dataset import Dataset
    from src.models.model import Model


class Main(NamedTuple):
    """The metric that checkpoints, sweeps and reports go by.

    name: its key in a record. better: "lower" or "higher".
    """

    name: str
    better: str = "lower"

    def improves(self, value: float, than: float | None) -> bool:
        """Whether a value is better than another one; than anything where there is none."""
        return than is None or (value < than if self.better == "lower" else value > than)

    def reached(self, value: float, target: float) -> bool:
        """Whether a value is as good as a target."""
        return value == target or self.improves(value, target)


class Column(NamedTuple):
    """A column of a suite's tables.

    key: of a record's metrics. better: "lower", "higher", or None where neither end is good by itself. page_only: left out of
    Markdown tables, which have less room.
    """

    key: str
    header: str
    meaning: str
    better: str | None = "lower"
    page_only: bool = False


class Suite(Protocol):
    """How a model is measured; two records compare only where suite and protocol are the same.

    Built from a config's `evaluation`. Every rank calls its methods; rank 0's results count. `better` is that of `main`, and
    known without torch, which the name may not be.
    """

    better: str
    main: Main

    def check(self, spec: Spec) -> None:
        """Raise UserError where data of this spec cannot be measured so, before anything expensive starts."""
        ...

    def validate(self, model: Model, dataset: Dataset) -> float:
        """`main` on the validation split, cheaply: while training, to choose checkpoints by."""
        ...

    def evaluate(self, model: Model, dataset: Dataset, modality: Any, folder: Path) -> dict[str, Any]:
        """The final evaluation as plain JSON, see `record`; pictures for people go to `folder`."""
        ...


def record(
    main: Main,
    columns: list[Column],
    metrics: dict[str, Any],
    controls: dict[str, dict[str, Any]],
    control_names: dict[str, str],
    protocol: dict[str, Any],
    **more: Any,
) -> dict[str, Any]:
    """What metrics.json holds. It describes itself, so that reports need no suite.

    columns: what tables show of `metrics`, in order. controls: what baselines and cheats score, name -> metrics; the first one
    is the floor, what real data scores. control_names: their labels for people. protocol: how it was measured.
    """
    return {
        "main": main._asdict(),
        "columns": [column._asdict() for column in columns],
        "metrics": metrics,
        **more,
        "controls": controls,
        "control_names": control_names,
        "protocol": protocol,
    }
