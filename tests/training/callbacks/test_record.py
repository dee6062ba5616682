"""A run's place at W&B."""

from pathlib import Path
from typing import Any

import pytest

from src.config.errors import UserError
from src.training.callbacks.record import start_wandb


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("runs/mlp_gan-mnist-0/3", "mlp_gan-mnist-0-3"),
        ("runs/sweeps/one/confirm/base/3", "sweeps-one-confirm-base-3"),  # of two sweeps there are two
        ("runs/here", "runs-here"),
        ("else/where#/it's/3", "it_s-3"),
    ],
)
def test_each_run_has_an_id_that_is_allowed(path: str, expected: str, compose: Any, tmp_path: Path) -> None:
    folder = tmp_path / path
    folder.mkdir(parents=True)
    run = start_wandb(folder, compose("model=mlp_gan", f"paths.runs={tmp_path / 'runs'}"))
    run.finish()
    assert run.id == expected


def test_without_a_login_it_says_what_to_do(compose: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(UserError, match=r"^W&B says: .*wandb login.*logger\.mode=offline"):
        start_wandb(tmp_path, compose("model=mlp_gan", "logger.mode=online"))
