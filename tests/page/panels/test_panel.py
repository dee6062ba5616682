"""What a browser may send, and which controls a model gets."""

from typing import Any

import pytest

from src.config.errors import UserError
from src.page.panels.panel import Control, Tab


@pytest.mark.parametrize(
    ("control", "value"),
    [
        (Control("n", "range", 1, low=1, high=4), 5),
        (Control("n", "range", 1, low=1, high=4), 0),
        (Control("n", "range", 1, low=1, high=4), float("nan")),
        (Control("n", "range", 1, low=1, high=4), None),
        (Control("n", "range", 1, low=1, high=4), "2"),
        (Control("seed", "number", 0, high=9), 1.5),
        (Control("seed", "number", 0, high=9), True),
        (Control("class", "choice", None, choices=("0", "1"), off=True), "2"),
        (Control("class", "choice", None, choices=("0", "1"), off=True), ["0"]),
        (Control("prompt", "text", "", high=3), "long"),
        (Control("drawing", "drawing", [], shape=(1, 2)), [0]),
        (Control("drawing", "drawing", [], shape=(1, 2)), [0, 256]),
        (Control("drawing", "drawing", [], shape=(1, 2)), [0, 0.5]),
    ],
)
def test_wrong_values_are_refused(control: Control, value: Any) -> None:
    with pytest.raises(UserError, match=f"{control.name}="):
        control.read(value)


def test_settings_get_their_defaults_and_types() -> None:
    tab = Tab(
        (Control("n", "range", 2, low=1, high=4), Control("truncation", "range", None, low=0.1, high=2, step=0.1, off=True))
    )
    assert tab.read({}) == {"n": 2, "truncation": None}
    found = tab.read({"n": 3.0, "truncation": 0.5})
    assert found == {"n": 3, "truncation": 0.5}
    assert isinstance(found["n"], int)
    with pytest.raises(UserError, match="unknown settings: weights"):
        tab.read({"weights": "raw"})
