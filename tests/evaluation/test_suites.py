"""What every suite that conf/ names offers."""

from pathlib import Path
from typing import Any

import pytest

from src.config.experiment import Experiment

SUITES = sorted(path.stem for path in (Path(__file__).parents[2] / "conf" / "evaluation").glob("*.yaml"))


@pytest.mark.parametrize("name", SUITES)
def test_every_suite_says_which_scores_are_better(name: str, compose: Any) -> None:
    suite = Experiment(compose(f"evaluation={name}")).suite
    assert suite.better in ("lower", "higher")
    assert suite.better == suite.main.better
