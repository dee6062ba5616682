import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from src.config.errors import UserError
from src.data.dataset import Arrays, check_dataset, read_all
from src.data.digits import Digits
from src.data.gaussians import Gaussians
from src.data.spec import Field, Spec

ROOT = Path(__file__).parents[2]


class Squares:
    """A split that computes its samples."""

    def __len__(self) -> int:
        return 5

    def batch(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        return {"x": indices**2}


def test_a_split_of_arrays() -> None:
    x, y = np.arange(12.0).reshape(6, 2), np.arange(6)
    split = Arrays(x=x, y=y, cond=None)
    assert len(split) == 6
    assert list(split.fields) == ["x", "y"]
    assert split["x"] is x
    batch = split.batch(np.array([[5, 0, 0], [1, 2, 3]]))
    assert batch.keys() == {"x", "y"}
    assert batch["x"].shape == (2, 3, 2)
    assert batch["x"][0, 0].tolist() == [10.0, 11.0]
    assert batch["y"].tolist() == [[5, 0, 0], [1, 2, 3]]


def test_all_of_a_field() -> None:
    split = Arrays(x=np.arange(3))
    assert read_all(split, "x") is split["x"]
    assert read_all(Squares(), "x").tolist() == [0, 1, 4, 9, 16]


class Told:
    """A data set whose parts are told to it."""

    spec = Spec({"x": Field("tokens", (16,), "int64"), "y": Field("class", (), "int64", ("a", "b"))})

    def __init__(self, **parts: Any) -> None:
        self.name = parts.get("name", "told")
        self.sha256 = parts.get("hashes", {"file": "0" * 64})
        self.validation = parts.get("validation", {})

    def prepare(self) -> None:
        pass

    def hashes(self) -> Any:
        return self.sha256

    def split(self, name: str) -> Arrays:
        fields = {"x": np.zeros((5, 16), np.int64), "y": np.zeros(5, np.int64)}
        return Arrays(**fields | (self.validation if name == "validation" else {}))


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"name": None}, r"Told.name is None: must be a word"),
        ({"hashes": ["0" * 64]}, r"Told.hashes\(\) gives a list: must be a dict"),
        ({"hashes": {"file": 7}}, r"Told.hashes\(\) gives a dict: must be a dict of names and SHA-256, both words"),
        (
            {"validation": {"x": np.zeros((5, 9), np.int64)}},
            r"'x' is int64 \[16\] .*, but int64 \[9\] in .*validation",
        ),
        ({"validation": {"x": np.zeros((5, 16))}}, r"'x' is int64 \[16\] .*, but float64 \[16\] in .*validation"),
        ({"validation": {"y": np.zeros((5, 1), np.int64)}}, r"'y' is int64 \[\] by the spec, but int64 \[1\] in .*validation"),
        ({"validation": {"y": None}}, r"'y' is int64 \[\] by the spec, but nothing in the split validation"),
    ],
)
def test_a_data_set_that_is_not_what_it_says(parts: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words) as error:
        check_dataset(Told(**parts))
    assert "\n" not in str(error.value)


def test_data_sets_that_are_what_they_say() -> None:
    check_dataset(Told())
    check_dataset(Told(validation={"x": np.zeros((0, 16), np.int64), "more": np.zeros(0)}))
    for dataset in (Digits(), Gaussians()):
        check_dataset(dataset)


def test_data_sets_cost_no_import_of_a_framework() -> None:
    """Errors in data and configs are said before torch is there."""
    names = [path.stem for path in (ROOT / "src" / "data").glob("*.py") if "def split(" in path.read_text()]
    assert len(names) > 5
    heavy = "('torch', 'torchvision', 'sklearn', 'dvc', 'yaml', 'PIL', 'gdown')"
    code = f"import sys, {', '.join(f'src.data.{name}' for name in names)}; print([m for m in {heavy} if m in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert answer.stdout == "[]\n"
