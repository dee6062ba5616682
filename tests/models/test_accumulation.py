"""Gradient accumulation makes the update of the whole batch, in parts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from src.fit import fit
from src.processes import Team, place
from src.run import RunFolder, build_dataset, load_checkpoint

WORDS = [
    *("model=cdcgan", "data=digits", "debug=tiny", "trainer.threads=1", "data.batch_size=16", "evaluate=false"),
    *(f"model.{which}_optimizer.lr=1e-4" for which in ("g", "d")),
    *(f"+model.{which}_optimizer.eps=1e-2" for which in ("g", "d")),
    *("model.d_steps=2", "samples.n=4", "validation={every: 100, samples: 32}"),
    "model.penalties.r1.every=3",
    "+model.augment={_target_: src.adaptive_augment.ADA, policy: [shift, contrast], target: -1, every: 2, kimg: 0.1}",
    "model.generator._target_=src.networks.transformer.TransformerGenerator",  # without batch norm
    *("~model.generator.width", "+model.generator.depth=1", "+model.generator.width=16", "+model.generator.heads=2"),
]


def make(config: dict[str, Any]) -> dict[str, Any]:
    run = RunFolder(Path(config["run_dir"]))
    with run, Team(place(config)) as team:
        fit(config, run, build_dataset(config), 10, "images", team)
    checkpoint = run.newest("step")
    assert checkpoint is not None
    return load_checkpoint(checkpoint)


@pytest.mark.parametrize("loss", ["non_saturating", "relativistic_paired"])
def test_parts_are_the_whole(loss: str, compose: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    words = [*WORDS, f"loss={loss}"]
    whole = make(compose(*words, f"run_dir={tmp_path / 'whole'}"))
    parts = make(compose(*words, f"run_dir={tmp_path / 'parts'}", "trainer.accumulate=4"))
    assert RunFolder(tmp_path / "parts").manifest()["accumulate"] == 4
    assert parts["clock"] == whole["clock"]
    assert whole["state_dict"]["augment.p"] > 0.1
    for key, tensor in whole["state_dict"].items():
        torch.testing.assert_close(parts["state_dict"][key], tensor, rtol=0, atol=1e-6, msg=key)
