import hashlib
from pathlib import Path
from typing import Any

import hydra

from src.config.checks import plain
from src.config.command_line import CONF
from src.data.mnist import MNIST
from src.tools.extractor import extractor


def test_it_says_whether_the_weights_are_the_pinned_ones(mnist: MNIST, tmp_path: Path, capsys: Any) -> None:
    output = tmp_path / "digits.safetensors"
    with hydra.initialize_config_dir(CONF, version_base="1.3"):
        config = plain(hydra.compose("extractor", ["data=mnist", f"output={output}"]))
    extractor(config | {"epochs": 0})  # untrained: no one's weights
    said = capsys.readouterr().out
    assert hashlib.sha256(output.read_bytes()).hexdigest() in said
    assert "not the pinned weights" in said
