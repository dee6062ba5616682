"""Model cards say what the published runs say, and nothing that someone typed."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from src.config.errors import UserError
from src.tools.cards import NO_LICENCE, cards, filled

ROOT = Path(__file__).parent.parent.parent
CONFIG = yaml.safe_load((ROOT / "conf" / "cards.yaml").read_text())
BLOCK = "<!-- CARDS -->\n<!-- /CARDS -->\n"


@pytest.fixture
def card_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, str]]:
    """Row -> words in the card of a copy of a published run, whose files may be changed first."""
    monkeypatch.chdir(tmp_path)

    def make(run: str, file: str = "metrics.json", change: Callable[[Any], object] = lambda _: None) -> dict[str, str]:
        shutil.copytree(ROOT / "results" / run, "results", ignore=shutil.ignore_patterns("*.gif", "*.wav"))
        path, load, dump = Path("results", file), yaml.safe_load, yaml.safe_dump
        if path.suffix == ".json":
            load, dump = json.loads, json.dumps
        change(content := load(path.read_text()))
        path.write_text(dump(content))
        rows = filled(BLOCK, Path("results"), Path("cards.md")).split("\n- **")[1:]
        return dict(row.split("**:", 1) for row in rows)

    return make


def test_the_page_shows_the_published_results(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    page = Path(CONFIG["page"])
    text = page.read_text()
    assert filled(text, Path(CONFIG["results"]), page) == text
    flagships = [path.parent for path in Path("results").rglob("weights.safetensors")]
    assert {f"## {run}" for run in flagships} == {line for line in text.splitlines() if line.startswith("## ")}


def test_a_control_that_is_better_is_a_weakness_unless_it_is_real_or_a_copy(card_of: Any) -> None:
    def change(record: dict[str, Any]) -> None:
        record["metrics"] |= {"precision_digits": 0.3, "copies_digits": 0.25, "recall_digits": 0.01}
        record["controls"]["noise"]["precision_digits"] = 0.4

    card = card_of("mlp_gan", change=change)
    assert card["Memorisation"] == " copies 0.2500 (unseen real data 0.0552)."
    assert card["Weak"].split("\n") == ["", "  - precision ↑ 0.3000; better: noise (ceiling) 0.4000"]
    assert card["Main metric"].startswith(" FD ↓ 1.740, 8.3 times the floor (")
    assert "Controls: real images (floor) 0.2109; noise (ceiling) 619.4; training copies 0.2227" in card["Main metric"]


def test_a_bound_is_marked_and_what_is_not_measured_is_said(card_of: Any) -> None:
    def change(record: dict[str, Any]) -> None:
        record["columns"] = [column for column in record["columns"] if column["key"] != "copied"]

    card = card_of("tunes/music_vae/0", change=change)
    assert card["Memorisation"] == " not measured."
    assert "- nats / voice-step ≤ 1.152; better: n-grams of notes (baseline) 1.129" in card["Weak"]


def test_no_licence_is_invented(card_of: Any) -> None:
    assert card_of("mlp_gan")["Data"].endswith(NO_LICENCE)
    shutil.rmtree("results")
    card = card_of("mlp_gan", "manifest.json", lambda manifest: manifest.update(licence="as it says"))
    assert card["Data"].endswith("Licence: as it says.")
    assert NO_LICENCE not in card["Data"]
    shutil.rmtree("results")
    assert "(MIT licence; the texts themselves are in the public domain)" in card_of("poems/gpt/0")["Data"]


def test_data_without_a_sentence_and_runs_without_a_result_are_named(card_of: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"say in NOT_FOR .* models of src\.data\.digits\.Digits must not be used for"):
        card_of("mlp_gan", "config.yaml", lambda config: config["data"]["source"].update(_target_="src.data.digits.Digits"))
    (tmp_path / "results" / "metrics.json").unlink()
    with pytest.raises(UserError, match=r"results has weights and no final evaluation: python -m src\.evaluate run=results"):
        filled(BLOCK, Path("results"), Path("cards.md"))
    with pytest.raises(UserError, match=r"no run with weights\.safetensors below results=nope"):
        filled(BLOCK, Path("nope"), Path("cards.md"))
    with pytest.raises(UserError, match=r"page=nope\.md is no file"):
        cards({"page": "nope.md", "results": "results"})


def test_it_needs_no_torch() -> None:
    code = "import sys, src.tools.cards; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
