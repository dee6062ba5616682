"""People's judgements of a run's samples: the lines of review.jsonl in the run folder.

{"time": ..., "kind": "mark", "settings": {"seed": 7, "class": 3, ...}, "mark": "keep", "note": "clear"}
{"time": ..., "kind": "blind", "settings": {"test_image": 12}, "generated": false, "answer": "generated"}

A mark keeps or rejects one sample, which its settings name. A blind answer is a guess whether an image is generated or real,
by someone who was not told.
"""

import functools
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from src.config.errors import UserError
from src.evaluation.intervals import wilson

FILE = "review.jsonl"
MARKS = ("keep", "reject", "none")
ANSWERS = ("generated", "real")


class Mark(NamedTuple):
    settings: dict[str, Any]  # of the sample: seed, class, truncation, ...
    mark: str  # one of MARKS; "none" takes an earlier mark back
    note: str


class Hits(NamedTuple):
    """Right answers of the blind test, with the 95 % interval (Wilson) of their share; 0.5 is the rate of pure guesses."""

    right: int
    total: int
    low: float
    high: float


def append(folder: Path, record: dict[str, Any]) -> None:
    """Add one judgement with the time (UTC) to the folder's file. Raises UserError if it is neither a mark nor an answer."""
    if problem := _problem(record):
        raise UserError(f"this judgement cannot be kept: {problem}")
    line = json.dumps({"time": datetime.now(UTC).isoformat(timespec="seconds"), **record}) + "\n"
    with (folder / FILE).open("ab+") as file:
        if file.tell():  # in mode "a" that is the size
            file.seek(-1, 2)
            line = line if file.read(1) == b"\n" else "\n" + line  # a kill left the last line unfinished
        file.write(line.encode())
        file.flush()


def marks(folder: Path) -> list[Mark]:
    """The last mark of each sample, in the order of their first marks; empty without a file."""
    last = {}
    for record in _read(folder):
        if record["kind"] == "mark":
            found = Mark(record["settings"], record["mark"], record.get("note", ""))
            last[json.dumps(found.settings, sort_keys=True)] = found
    return list(last.values())


def blind(folder: Path) -> Hits | None:
    """How often the blind answers are right; None without answers."""
    answers = [record for record in _read(folder) if record["kind"] == "blind"]
    right = sum((record["answer"] == "generated") == record["generated"] for record in answers)
    return Hits(right, len(answers), *wilson(right, len(answers))) if answers else None


def _read(folder: Path) -> list[dict[str, Any]]:
    """The valid lines. Others are named once in a process, except a last one that is not finished."""
    path, records = folder / FILE, []
    lines = path.read_text(errors="replace").split("\n") if path.is_file() else [""]
    for number, line in enumerate(lines[:-1], start=1):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            problem = "no JSON"
        else:
            problem = _problem(record)
        if problem:
            name_once(f"{path}, line {number} is passed over: {problem}")
        else:
            records.append(record)
    return records


def _problem(record: Any) -> str:
    """Why this is no judgement, as text; empty if it is one."""
    if not isinstance(record, dict) or record.get("kind") not in ("mark", "blind"):
        return "kind is neither mark nor blind"
    if not isinstance(record.get("settings"), dict):
        return "settings is no object"
    try:
        json.dumps(record, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return "half of a surrogate pair is no text"
    if record["kind"] == "mark":
        if record.get("mark") not in MARKS:
            return f"mark is none of {', '.join(MARKS)}"
        return "" if isinstance(record.get("note", ""), str) else "note is no text"
    if record.get("answer") not in ANSWERS:
        return f"answer is none of {', '.join(ANSWERS)}"
    return "" if isinstance(record.get("generated"), bool) else "generated is neither true nor false"


@functools.cache
def name_once(problem: str) -> None:
    """Print a problem on stderr, the first time."""
    print(problem, file=sys.stderr)
