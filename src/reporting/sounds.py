"""Players of the sound of samples, inside the page, and their scores; clips that move."""

import base64
from collections.abc import Iterable
from pathlib import Path

from src.reporting.runs import Run
from src.reporting.tables import Table
from src.runs.sounds import MOVING

MOST = 2_000_000  # bytes of sounds and scores in one page, in base64


def audible(tables: Iterable[Table]) -> frozenset[Path]:
    """The runs whose sound the page has: of each recipe the first seed that has any, as long as there is room."""
    found, used = set[Path](), 0
    for run in (first for table in tables for group in table.groups for first in heard(group.runs)[:1]):
        used += sum(path.stat().st_size * 4 // 3 for path in run.sounds.values())
        if used > MOST:
            break
        found.add(run.path)
    return frozenset(found)


def heard(runs: Iterable[Run]) -> list[Run]:
    return [run for run in runs if run.sounds]


def player(run: Run) -> str:
    """HTML: a player of the first samples, and the score of the first one; of video the first samples, which move."""
    if MOVING in run.sounds:
        return f'<img src="data:image/gif;base64,{encoded(run.sounds[MOVING])}" alt="the first samples, which move">'
    sound, score = (run.sounds[name] for name in ("sound.wav", "sound.svg"))
    parts = [f'<audio controls preload="none" src="data:audio/wav;base64,{encoded(sound)}"></audio>']
    if score.is_file():
        parts.append(f'<img class="score" src="data:image/svg+xml;base64,{encoded(score)}" alt="score of the first sample">')
    return "".join(parts)


def encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
