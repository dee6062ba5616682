"""The model cards are what the command makes of the published runs, and say nothing that these do not."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from src.config.errors import UserError
from src.tools.cards import NOT_MEASURED, NOT_STATED, cards, licence, page

ROOT = Path(__file__).parents[2]


def test_the_page_is_what_the_command_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    text = page(Path("results"), Path("docs/cards.md"))
    assert Path("docs/cards.md").read_text() == text, "python -m src.tools.cards writes it"
    assert all(f"## {path.parent.as_posix()}\n" in text for path in Path("results").rglob("weights.safetensors"))


def test_licences_are_those_that_the_sources_state() -> None:
    assert licence("src.data.mnist.MNIST") == NOT_STATED
    assert licence("src.data.emoji.EmojiPairs").startswith("CC BY-SA 4.0 (OpenMoji")
    assert "MIT licence" in licence("src.data.chinese_poetry.Poems")
    assert licence("src.data.music.folk.Essen").startswith("NON-COMMERCIAL")
    assert licence("src.data.music.chorales.Chorales") == NOT_STATED  # not what folk.py says of other tunes


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of a published run; the working directory is the folder above results/."""
    folder = tmp_path / "results" / "pix2pix"
    shutil.copytree(ROOT / "results/pictures/pix2pix/0", folder)
    monkeypatch.chdir(tmp_path)
    return folder


def written(**changes: Any) -> str:
    return cards({"results": "results", "page": "cards.md"} | changes)


def test_a_card_has_the_numbers_of_its_run(published: Path) -> None:
    path = published / "metrics.json"
    record = json.loads(path.read_text())
    text = written()
    assert Path("cards.md").read_text() == text
    assert "the source itself: better in perceptual" in text
    record["metrics"] = {"perceptual_efficientnet-lite0": 0.05}
    path.write_text(json.dumps(record))
    text = written()
    assert "perceptual_efficientnet-lite0 0.0500, lower is better" in text
    assert f"**Memorisation:** {NOT_MEASURED}." in text
    assert "**Weaknesses:** no control is better in any metric." in text
    assert "39,544 samples, 11 minutes, 6 minutes of CPU time" in text


def test_what_is_missing_is_named(published: Path) -> None:
    path = published / "config.yaml"
    config = yaml.safe_load(path.read_text())
    config["data"]["source"]["_target_"] = "src.data.digits.Digits"
    path.write_text(yaml.safe_dump(config))
    with pytest.raises(UserError, match=r"results/pix2pix: say in LIMITS .* src\.data\.digits\.Digits must not be used for"):
        written()
    with pytest.raises(UserError, match="results=nowhere has no run with weights"):
        written(results="nowhere")
