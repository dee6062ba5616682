"""README's picture is what the published weights draw."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from src.tools.strip import strip

ROOT = Path(__file__).parent.parent.parent
CONFIG = yaml.safe_load((ROOT / "conf" / "strip.yaml").read_text())


def test_the_committed_picture_holds_the_samples_of_the_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the two GANs, which draw fast; kinds of CPU differ by a level of grey here and there."""
    monkeypatch.chdir(ROOT)
    runs = dict([*CONFIG["runs"].items()][:2])
    drawn = np.array(strip(CONFIG | {"runs": runs, "out": str(tmp_path / "strip.png")}), dtype=int)
    with Image.open(CONFIG["out"]) as image:
        committed = np.array(image, dtype=int)
    assert (ROOT / CONFIG["out"]).stat().st_size < 100_000
    assert committed.shape[0] == drawn.shape[0]
    assert np.abs(committed[:, : drawn.shape[1]] - drawn).max() <= 2
