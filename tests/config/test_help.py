"""What --help says of settings: comments of the YAML files and docstrings, and the ranges of the checks."""

from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from src.config import command_line, help
from src.config.checks import leaves

ROOT = Path(__file__).parents[2]
COMMANDS = ["train", "generate", "directions", "evaluate", "prepare", "report", "sweep", "verify", "extractor"]
CHOSEN = ["model=autoregressive", "model=contrastive", "model=diffusion data=folder", "model=r3gan data=celeba", "model=vae"]
CASES = [*((name, "") for name in COMMANDS), *(("train", words) for words in CHOSEN)]


@pytest.mark.parametrize(("name", "words"), CASES)
def test_every_setting_has_a_meaning(name: str, words: str) -> None:
    config: Any = OmegaConf.to_container(command_line.composed(name, words.split(), return_hydra_config=True))
    meanings = help.meanings_of(name, config.pop("hydra")["runtime"]["choices"])
    for key, _ in leaves(config):
        if key.rpartition(".")[2] not in ("_target_", "_partial_") and not key.startswith("space."):
            assert help.meaning_of(key, config, meanings), key


def test_comments_at_the_end_of_a_line_above_it_and_of_a_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(help, "CONF", tmp_path)
    (tmp_path / "data").mkdir()
    text = """\
# A group.
# In two lines.
name: a # after
# above
# it
size: 3
part: # of a section
  inner: "#1" # deep
single: {entry: 1} # the entry's

silent: 2
"""
    (tmp_path / "data" / "mine.yaml").write_text(text)
    assert dict(help.comments(tmp_path / "data" / "mine.yaml")) == {
        "data": "A group. In two lines.",
        "data.name": "after",
        "data.size": "above it",
        "data.part": "of a section",
        "data.part.inner": "deep",
        "data.single.entry": "the entry's",
    }
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine.yaml").write_text("# @package _global_\nstop: {samples: 3} # why\nmodel:\n  width: 3 # wide\n")
    assert dict(help.comments(tmp_path / "model" / "mine.yaml")) == {"model.width": "wide"}


def test_arguments_are_described_by_the_docstring_of_their_class() -> None:
    config = {"model": {"generator": {"_target_": "src.networks.mlp.MLPGenerator", "bias": True, "z_dim": 3}}}
    assert help.meaning_of("model.generator.z_dim", config, {}) == "size of the latent"
    assert help.meaning_of("model.generator.z_dim", config, {"model.generator.z_dim": "comment"}) == "comment"
    assert help.range_of("model.generator.z_dim", config) == "a whole number of at least 1"
    assert help.range_of("model.generator.bias", config) == "true or false"
    assert help.range_of("trainer.precision", {"trainer": {}}) == "32-true | 64-true | bf16-mixed"
    found = help.in_docstring("a: of a. b, c: of both. Not an argument: d.", {"a", "b", "c", "d"})
    assert found == {"a": "of a", "b": "of both. Not an argument: d", "c": "of both. Not an argument: d"}
