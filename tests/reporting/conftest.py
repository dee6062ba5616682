"""Runs in any number: copies of a real one, each with a seed, a name and a distance of its own."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from src.reporting.runs import Run, read_run

Edit = Callable[[Path, Callable[[dict[str, Any]], object]], None]


@pytest.fixture
def edit() -> Edit:
    """edit(path, change): change a JSON or YAML file in place."""

    def edited(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
        value = (json.loads if path.suffix == ".json" else yaml.safe_load)(path.read_text())
        change(value)
        path.write_text((json.dumps if path.suffix == ".json" else yaml.safe_dump)(value))

    return edited


@pytest.fixture
def make_run(tiny_run: Path, tmp_path: Path, edit: Edit) -> Callable[..., Path]:
    """make_run("mlp_gan", seed=3, distance=2.5, state="finished" | "diverged" | "unfinished"): a run folder."""

    def make(name: str, seed: int, distance: float = 1.0, state: str = "finished", published: bool = False) -> Path:
        folder = tmp_path / "runs" / name / str(seed)
        shutil.copytree(tiny_run, folder, ignore=shutil.ignore_patterns("checkpoints", "wandb", "*.safetensors", ".lock"))
        edit(folder / "config.yaml", lambda config: config.update(name=name, seed=seed))
        edit(folder / "metrics.json", lambda result: result["metrics"].update(fd_digits=distance))
        if state == "diverged":
            end = {"reason": "diverged", "step": 7, "message": "the loss is nan"}
            edit(folder / "manifest.json", lambda manifest: manifest.update(ended=end))
        elif state == "unfinished":
            edit(folder / "manifest.json", lambda manifest: manifest.pop("ended"))
        if state != "finished":
            (folder / "metrics.json").unlink()
        if published:
            shutil.move(max((folder / "samples").glob("step-*.png")), folder / "samples.png")
            shutil.move(folder / "samples" / "film.gif", folder / "film.gif")
            shutil.rmtree(folder / "samples")
        return folder

    return make


@pytest.fixture
def five_seeds(make_run: Callable[..., Path]) -> list[Run]:
    """`base` around 2.0, `good` one lower on every seed, `same` with differences that point both ways."""
    noise = [0.05, -0.1, 0.0, 0.12, -0.07]
    folders = [make_run("base", seed, 2.0 + d) for seed, d in enumerate(noise)]
    folders += [make_run("good", seed, 1.0 + d + 0.01 * seed) for seed, d in enumerate(noise)]
    folders += [make_run("same", seed, 2.0 - d) for seed, d in enumerate(noise)]
    return [read_run(folder, "/".join(folder.parts[-2:])) for folder in folders]


@pytest.fixture
def suite_run(make_run: Callable[..., Path], edit: Edit) -> Callable[..., Path]:
    """suite_run("flow", 0, {"nats": 1.5}, better="lower", controls={"uniform": {"nats": 2.0}}): a run of any suite."""

    def make(name: str, seed: int, metrics: dict[str, float], better: str, controls: dict[str, Any]) -> Path:
        folder = make_run(name, seed)
        record = {
            "main": {"name": next(iter(metrics)), "better": better},
            "columns": [{"key": key, "header": key, "meaning": f"the {key}", "better": better} for key in metrics],
            "metrics": metrics,
            "controls": controls,
            "control_names": {control: f"{control} control" for control in controls},
            "protocol": {"unit": "per sample"},
        }
        (folder / "metrics.json").write_text(json.dumps(record))
        return folder

    return make
