import json
from pathlib import Path

import pytest

from src.config.errors import UserError
from src.evaluation.extractors import clips, quatrains, tunes
from src.tools.encoder import STEPS, encoder


def test_what_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is a folder: name a file"):
        encoder({"of": "quatrains", "output": str(tmp_path)})
    with pytest.raises(UserError, match="must be quatrains or tunes"):
        encoder({"of": "songs", "output": str(tmp_path / "weights")})


def test_the_published_records_are_of_the_pinned_weights() -> None:
    for name, digest in {"quatrains": quatrains.SHA256, "tunes": tunes.SHA256, "clips": clips.SHA256}.items():
        record = json.loads(Path("results/encoders", f"{name}.json").read_text())
        assert (record["pinned_sha256"], record["steps"]) == (digest, STEPS[name])
