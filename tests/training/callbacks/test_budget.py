"""What ends a run, and how the manifest calls it."""

from types import SimpleNamespace
from typing import Any

import pytest

from src.evaluation.suite import Main
from src.training.callbacks.budget import Budget


@pytest.mark.parametrize(
    ("settings", "step", "last", "stops", "reason"),
    [
        ({"last_step": 10}, 9, None, False, "samples"),
        ({"last_step": 10}, 10, None, True, "samples"),
        ({"last_step": 10, "target": 5.0}, 9, 5.0, True, "target"),
        ({"last_step": 10, "target": 5.0}, 9, 5.1, False, "samples"),
        ({"last_step": 10, "target": 5.0}, 10, 5.0, True, "target"),  # both at once
        ({"minutes": 1.0, "target": 5.0}, 9, None, False, ""),
        ({"minutes": 1e-9}, 9, 1.0, True, "minutes"),
    ],
)
def test_the_first_of_several_ends_it(settings: Any, step: int, last: float | None, stops: bool, reason: str) -> None:
    trainer: Any = SimpleNamespace(should_stop=False)
    model: Any = SimpleNamespace(step=0)
    validate: Any = SimpleNamespace(last=last, main=Main("fd", "lower"))
    otherwise = "samples" if "last_step" in settings else ""
    budget = Budget(**{"last_step": None, "minutes": None, "target": None} | settings, validate=validate, otherwise=otherwise)
    budget.on_train_start(trainer, model)
    model.step = step
    budget.on_train_batch_end(trainer, model)
    assert (trainer.should_stop, budget.reason) == (stops, reason)


def test_higher_may_be_better() -> None:
    assert Main("accuracy", "higher").reached(0.95, target=0.9)
    assert not Main("accuracy", "higher").reached(0.85, target=0.9)


def test_a_run_that_has_made_all_its_updates_makes_no_more() -> None:
    trainer: Any = SimpleNamespace(should_stop=False)
    model: Any = SimpleNamespace(step=10)
    Budget(10, None, None, SimpleNamespace(last=None), "samples").on_train_start(trainer, model)  # type: ignore[arg-type]
    assert trainer.should_stop


def test_a_callback_of_the_users_may_end_it() -> None:
    model: Any = SimpleNamespace(step=7)
    budget = Budget(10, None, None, SimpleNamespace(last=None), "samples")  # type: ignore[arg-type]
    budget.on_train_end(None, model)  # type: ignore[arg-type]
    assert budget.reason == "callback"
