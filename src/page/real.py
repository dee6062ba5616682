"""The real data of the page's runs, where they are on this machine."""

from functools import lru_cache
from pathlib import Path
from typing import Any

from src.config.errors import UserError
from src.config.identity import with_data_in
from src.runs.folder import RunFolder
from src.runs.sampling import load_split

KEPT = 16  # splits in memory


class NoRealData(UserError):
    """The data that a run was made with are not on this machine. name: of the data."""

    def __init__(self, name: str, place: str) -> None:
        super().__init__(f"the real data are not in {place}: get them with  python -m src.prepare data={name}")
        self.name = name


@lru_cache(KEPT)
def real_split(run: Path, data: str | None) -> Any:
    """The test split of the data that the run in a folder was made with. NoRealData without them: a page downloads nothing.

    data: the folder where downloaded data are, None for the config's own.
    """
    folder = RunFolder(run)
    config = with_data_in(data, folder.config())["data"]
    place = config["source"].get("folder") or config["source"].get("path")
    if place and not (Path(place).is_file() or (Path(place).is_dir() and any(Path(place).iterdir()))):
        raise NoRealData(config["name"], place)
    return load_split(folder, data)
