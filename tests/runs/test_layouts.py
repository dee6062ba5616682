"""Layouts that a person types: what is drawn and recorded, and what is refused in one line."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pictures import words_of_pictures
from src.config.command_line import quoted
from src.config.errors import UserError
from src.generate import generate
from src.runs import layouts
from src.train import train

RED = "{name: red, box: [0.1, 0.2, 0.25, 0.25]}"


@pytest.fixture(scope="module")
def pictures_run(compose: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("layouts")
    words = ["model=layout_to_image", *words_of_pictures("layout_to_image"), "debug=tiny", "stop.samples=64", "evaluate=false"]
    train(compose(*words, "validation=null", "samples=null", "trainer.threads=1", f"run_dir={folder}/run"))
    return folder / "run"


@pytest.fixture
def draw(pictures_run: Path, compose: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """draw("layout=...", ...): what samples.json says of two samples."""
    monkeypatch.setenv("AIGC_PACKAGES", "pictures")

    def drawn(*words: str) -> dict[str, Any]:
        words = (f"run={pictures_run}", "n=2", f"out={tmp_path}/out", *(quoted(word, "generate") for word in words))
        config = compose(*words, name="generate", nullable=("n", "paths.data", "data.path"))
        return json.loads((generate(config) / "samples.json").read_text())["provenance"]

    return drawn


def test_a_layout_says_what_lies_where(draw: Any, tmp_path: Path) -> None:
    record = draw(f"layout=[{RED}]")
    assert record["layout"] == [{"name": "red", "box": [0.1, 0.2, 0.25, 0.25]}]
    red = (tmp_path / "out" / "000000.png").read_bytes()
    (tmp_path / "layout.json").write_text(json.dumps([{"name": "blue", "box": [0.1, 0.2, 0.25, 0.25]}]))
    assert draw(f"layout={tmp_path}/layout.json")["layout"][0]["name"] == "blue"
    assert (tmp_path / "out" / "000000.png").read_bytes() != red
    tested = draw()["layouts"]  # of the test split
    assert len(tested) == 2
    assert {one["name"] for layout in tested for one in layout} <= {"red", "green", "blue"}


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        (f"[{RED}, {{name: blu, box: [0, 0, 1, 1]}}]", "layout, object 2: 'blu' is none of the names .*: did you mean blue"),
        ("[{name: red, box: [0.9, 0, 0.2, 0.2]}]", r"layout, object 1: the box \[0.9, 0, 0.2, 0.2\] is not within the picture"),
        ("[{name: red, box: [0, 0, 0, 0.2]}]", "width and height are above 0"),
        ("[{name: red, box: [0, 0, 1]}]", "box must be four numbers"),
        ("[{name: red, place: [0, 0, 1, 1]}]", "must have a name and a box"),
        (f"[{', '.join([RED] * 4)}]", "layout: has 4 objects, and this model draws at most 3"),
        ("red", "is no list of objects: write"),
        ("[{name: red", "cannot read it as a list of objects"),
        ("nowhere.json", "layout=nowhere.json: cannot read it .*: name a file"),
    ],
)
def test_layouts_that_cannot_be_drawn(layout: str, message: str, draw: Any) -> None:
    with pytest.raises(UserError, match=message):
        draw(f"layout={layout}")


def test_other_settings_and_models(draw: Any) -> None:
    with pytest.raises(UserError, match="layout= is for samples and interpolate= makes a picture"):
        draw(f"layout=[{RED}]", "interpolate=3")
    with pytest.raises(UserError, match="format=onnx exports the network"):
        draw(f"layout=[{RED}]", "format=onnx", "n=null")
    with pytest.raises(UserError, match="this model reads no layout="):
        layouts.check(SimpleNamespace(conditions=lambda seeds: {}), {"layout": f"[{RED}]"})
