from pathlib import Path

import pytest

from src.config.errors import UserError
from src.tools.encoder import encoder


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is a folder: name a file"):
        encoder({"output": str(tmp_path)})
