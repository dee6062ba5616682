"""A small study whose trials need no training."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from optuna.study import Study

from src.search.study import open_study

SPACE = {
    "x": {"type": "float", "low": -5.0, "high": 5.0},
    "n": {"type": "int", "low": 1, "high": 9},
    "c": {"type": "categorical", "choices": ["a", [1, 2], None]},
}
CONFIG: dict[str, Any] = {
    "name": "test",
    "store": None,
    "sampler": "tpe",
    "startup": 3,
    "seed": 0,
    "pruner": "none",
    "prune_from": 20,
    "reduction": 2,
}
CONTENTS: dict[str, Any] = {
    "space": SPACE,
    "seed": 0,
    "better": "lower",
    "data": {"images": "1a"},
    "recipe": {"model.slope": 0.2},
}


@pytest.fixture
def space() -> dict[str, Any]:
    return SPACE


@pytest.fixture
def open_sweep() -> Callable[..., Study]:
    """open_sweep(folder, seed=3, better="higher"): its study, as one further command opens it."""

    def opened(folder: Path, **changes: Any) -> Study:
        folder.mkdir(parents=True, exist_ok=True)
        config = CONFIG | {key: value for key, value in changes.items() if key in CONFIG}
        return open_study(config, CONTENTS | {key: value for key, value in changes.items() if key in CONTENTS}, folder)

    return opened
