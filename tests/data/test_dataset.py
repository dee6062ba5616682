import subprocess
import sys
from pathlib import Path

import numpy as np

from src.data.dataset import Arrays, read_all

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


def test_data_sets_cost_no_import_of_a_framework() -> None:
    """Errors in data and configs are said before torch is there."""
    names = [path.stem for path in (ROOT / "src" / "data").glob("*.py") if "def split(" in path.read_text()]
    assert len(names) > 5
    heavy = "('torch', 'torchvision', 'sklearn', 'dvc', 'yaml', 'PIL', 'gdown')"
    code = f"import sys, {', '.join(f'src.data.{name}' for name in names)}; print([m for m in {heavy} if m in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert answer.stdout == "[]\n"
