"""python -m src.tools.recipe model=mlp_gan publish=FOLDER: write down what a result of src.train depends on; train nothing.

params.yaml     the resolved config
train.code      hash of the code behind its training
evaluate.code   hash of the code behind its evaluation

DVC's stages depend on these three files: a result becomes stale only when its own config or code changes.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from src.config import command_line
from src.config.errors import UserError
from src.runs.code import sources
from src.system.files import write_atomic


def recipe(config: dict[str, Any]) -> None:
    if not config["publish"]:
        raise UserError("say where the recipe goes: publish=FOLDER")
    folder = Path(config["publish"])
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / "params.yaml", OmegaConf.to_yaml(OmegaConf.create(config)).encode())
    for name in ("train", "evaluate"):
        files = json.dumps(sources(f"src.{name}", config), sort_keys=True)
        write_atomic(folder / f"{name}.code", (hashlib.sha256(files.encode()).hexdigest() + "\n").encode())


if __name__ == "__main__":
    command_line.run("train", recipe)
