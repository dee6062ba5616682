import json
from pathlib import Path
from typing import Any

import pytest

from src.config.errors import UserError
from src.tools.temperatures import Quality, temperatures
from src.train import train

ROOT = Path(__file__).parents[2]


def test_quality_by_hand() -> None:
    """Characters that training never has are read, not scored; what it has often costs least."""
    quality = Quality(["ab", "ab", "ab", "ba"])
    assert quality(["ab"]) < quality(["ba"]) < quality(["bb"])
    assert quality(["ab", "ab"]) == pytest.approx(quality(["ab"]))
    assert quality(["abx"]) < 5
    assert set(quality.sample(20)) & {"ab", "ba"}


def test_the_sweep(compose: Any, tmp_path: Path) -> None:
    run = tmp_path / "tiny" / "0"
    words = ["model=gpt", "data=text", f"data.path={ROOT / 'README.md'}", "model.network={width: 16, depth: 1, heads: 2}"]
    words += ["debug=tiny", "stop.samples=256", "evaluate=false", "validation=null", "samples=null", "trainer.threads=1"]
    train(compose(*words, f"run_dir={run}"))
    config = compose(f"runs={run}", f"out={tmp_path}/t.json", "temperatures=[0.2,1]", "samples=24", name="temperatures")
    result = temperatures(config)
    assert json.loads((tmp_path / "t.json").read_text()) == result
    assert [(row["run"], row["temperature"]) for row in result["rows"]] == [
        ("real", None),
        ("ngram_4", None),
        ("gpt", 0.2),
        ("gpt", 1.0),
    ]
    cold, warm = result["rows"][2:]
    assert cold["self_bleu"] > warm["self_bleu"]
    assert result["features"].startswith("pairs of characters: no quatrains")
    picture = (tmp_path / "t.svg").read_text()
    assert all(word in picture for word in ("4-gram samples", "unseen real text", "gpt"))
    with pytest.raises(UserError, match="all above 0"):
        temperatures(config | {"temperatures": [0.0]})
