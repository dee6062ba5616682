"""The folder that holds data, runs and .cache: $AIGC_HOME, else the working directory. Configs write ${home:data}.

${clone:results} is a folder of this repository, wherever the command runs.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from omegaconf import OmegaConf

HOME = "AIGC_HOME"
CLONE = Path(__file__).parents[2]


def home() -> Path:
    """Empty, and so relative, if it is the working directory."""
    return Path(os.environ.get(HOME) or "").expanduser()


def within_home(name: str) -> str:
    """A path of that folder; an absolute one stays as it is."""
    return str(home() / name)


def within_clone(name: str) -> str:
    """A path of the repository; relative if that is the working directory."""
    return name if Path.cwd() == CLONE else str(CLONE / name)


def described(paths: Mapping[str, str]) -> str:
    """A line that says where data, runs and cache are. paths: a config's `paths`."""
    root = home().absolute()
    places = [Path(paths[key]).absolute() for key in ("data", "runs", "cache")]
    shown = ", ".join(str(place.relative_to(root) if place.is_relative_to(root) else place) for place in places)
    return f"in {root} ({HOME} names another place): {shown}"


OmegaConf.register_new_resolver("home", within_home, replace=True)
OmegaConf.register_new_resolver("clone", within_clone, replace=True)
