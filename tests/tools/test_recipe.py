from pathlib import Path
from typing import Any

import pytest
import yaml

from src.config.errors import UserError
from src.tools.recipe import recipe


def make(compose: Any, folder: Path, *words: str) -> dict[str, str]:
    recipe(compose(*words, f"publish={folder}"))
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_a_result_has_its_own_code(compose: Any, tmp_path: Path) -> None:
    mlp, again = make(compose, tmp_path / "a", "model=mlp_gan"), make(compose, tmp_path / "b", "model=mlp_gan", "seed=1")
    dcgan = make(compose, tmp_path / "c", "model=dcgan")
    assert mlp.keys() == {"params.yaml", "train.code", "evaluate.code"}
    assert yaml.safe_load(mlp["params.yaml"]) == compose("model=mlp_gan", f"publish={tmp_path / 'a'}")
    assert mlp["train.code"] == again["train.code"] != dcgan["train.code"]
    assert mlp["evaluate.code"] == again["evaluate.code"] != mlp["train.code"]


def test_it_needs_a_place(compose: Any) -> None:
    with pytest.raises(UserError, match="publish=FOLDER"):
        recipe(compose("model=mlp_gan"))
