from pathlib import Path

import pytest

from src.config.errors import UserError
from src.tools.encoder import encoder


def test_what_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is a folder: name a file"):
        encoder({"of": "quatrains", "output": str(tmp_path)})
    with pytest.raises(UserError, match="must be quatrains or tunes"):
        encoder({"of": "songs", "output": str(tmp_path / "weights")})
