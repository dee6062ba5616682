"""The suite protocol: one metric to choose checkpoints by, and a record of all metrics with controls."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from src.config.errors import UserError
from src.data.spec import Spec

if TYPE_CHECKING:  # a suite is built, and checked, before torch is imported
    from src.data.dataset import Dataset
    from src.models.model import Model


BETTER = "lower", "higher"


class Main(NamedTuple):
    """The metric that checkpoints, sweeps and reports use.

    name: its key in a record. better: "lower" or "higher".
    """

    name: str
    better: str = "lower"

    def improves(self, value: float, than: float | None) -> bool:
        """Whether a value is better than another one; true if `than` is None."""
        return than is None or (value < than if self.better == "lower" else value > than)

    def reached(self, value: float, target: float) -> bool:
        """Whether a value is at least as good as a target."""
        return value == target or self.improves(value, target)


class Column(NamedTuple):
    """A column of a suite's tables.

    key: key of a record's metrics. better: "lower", "higher", or None if neither is better. page_only: left out of Markdown
    tables, which have less room.
    """

    key: str
    header: str
    meaning: str
    better: str | None = "lower"
    page_only: bool = False


class Suite(Protocol):
    """Measures a model; two records are comparable only if suite and protocol are the same.

    A suite may also have `check_model(model)`, which raises UserError before the training if it cannot measure this model,
    `seconds(model, dataset)`: about how long (a validation, the evaluation) take, which rank 0 alone calls once, and
    `score(model, dataset) -> float`: `main` as `evaluate` has it, without the rest, by which the last checkpoint is measured.

    Built from a config's `evaluation`. Every rank calls its methods; only rank 0's results are used. `better` equals
    `main.better` and needs no torch; `main.name` may need it.
    """

    better: str
    main: Main

    def check(self, spec: Spec) -> None:
        """Raise UserError if this suite cannot measure data of this spec; called before anything expensive starts."""
        ...

    def validate(self, model: Model, dataset: Dataset) -> float:
        """A cheap value of `main` on the validation split, to choose checkpoints during training."""
        ...

    def evaluate(self, model: Model, dataset: Dataset, modality: Any, folder: Path) -> dict[str, Any]:
        """The final evaluation as plain JSON, see `record`; pictures are written to `folder`."""
        ...


def check_suite(suite: Any, spec: Spec) -> None:
    """Raise UserError for a suite that does not say which values are better, or that cannot measure data of this spec."""
    if (better := getattr(suite, "better", None)) not in BETTER:
        raise UserError(f"evaluation: {type(suite).__name__}.better is {better!r}: must be {' or '.join(BETTER)}")
    suite.check(spec)


def record(
    main: Main,
    columns: list[Column],
    metrics: dict[str, Any],
    controls: dict[str, dict[str, Any]],
    control_names: dict[str, str],
    protocol: dict[str, Any],
    **more: Any,
) -> dict[str, Any]:
    """The contents of metrics.json. They describe themselves, so that reports need no suite.

    columns: the columns of tables, in order. controls: name -> metrics of baselines and cheats; the first one is the floor, the
    metrics of real data. control_names: labels of the controls. protocol: settings of the measurement.
    more: `bounds` is key of a metric -> what kind of bound its values are, of metrics that are only bounded; `cost` is what the
    measurement took, which goes to the manifest: it differs from machine to machine.
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


def plain_record(record: Any) -> dict[str, Any]:
    """A suite's record with Python's own numbers; UserError if a part is missing, or a metric is not a finite number."""
    missing = {"main", "columns", "metrics", "controls", "control_names", "protocol"} - set(record or {})
    if missing:
        raise UserError(f"the suite's record has no {' and no '.join(sorted(missing))}: see src.evaluation.suite.record")
    main = record["main"]["name"]
    if main not in record["metrics"]:
        raise UserError(f"the suite's main metric {main!r} is none of those that it measured: {', '.join(record['metrics'])}")
    return {**record, "metrics": {name: number(name, value) for name, value in record["metrics"].items()}}


def number(name: str, value: Any) -> Any:
    """A metric (or each entry of a list) as a Python number; UserError if it is not finite."""
    if isinstance(value, list | tuple):
        return [number(name, entry) for entry in value]
    found = value.item() if hasattr(value, "item") else value
    if not isinstance(found, int | float) or not math.isfinite(found):
        raise UserError(f"the metric {name} is {found}: metrics are finite numbers, so see to the model or to the suite")
    return found
