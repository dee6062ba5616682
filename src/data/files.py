"""The files in a folder of the user's: those that a data set reads, and how many others there are."""

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from src.config.errors import UserError


def list_files(folder: Path, suffixes: tuple[str, ...]) -> tuple[list[str], str]:
    """The names of all files with these suffixes, relative to the folder, sorted; and how many others there are, by kind.

    Hidden files and folders are skipped, links to folders outside are followed. UserError for a folder that cannot be read.
    """
    names, others = [], []
    try:
        seen = [folder.resolve()]  # resolved folders, each read with all folders below it
        for path, inside, files in os.walk(folder, onerror=_raise, followlinks=True):
            inside[:] = [name for name in sorted(inside) if not name.startswith(".") and _is_new(Path(path, name), seen)]
            for name in (name for name in files if not name.startswith(".")):
                if name.lower().endswith(suffixes):
                    names.append(str(Path(path, name).relative_to(folder)))
                else:
                    others.append(Path(path, name))
    except OSError as error:
        raise unreadable(error) from error
    return sorted(names), kinds(others)


def kinds(paths: Iterable[Path]) -> str:
    """How many files there are of each kind, most frequent first: "12 .heic, 3 .txt"."""
    counts = Counter(map(kind, paths))
    return ", ".join(f"{count:,} {kind}" for kind, count in sorted(counts.items(), key=lambda entry: (-entry[1], entry[0])))


def kind(path: Path) -> str:
    """The suffix of a regular file, or what else there is at the path."""
    if not os.path.isfile(path):
        return "no regular file" if os.path.exists(path) else "dangling link"
    return ascii(path.suffix.lower())[1:-1] or "without suffix"


def unreadable(error: OSError) -> UserError:
    return UserError(f"cannot read {error.filename} ({error.strerror}): fix its permissions, or move it away")


def _is_new(folder: Path, seen: list[Path]) -> bool:
    """Whether to read a folder; false for a link into a seen folder or to one above it, as links may form cycles.

    Adds the target of a new link to `seen`.
    """
    if not folder.is_symlink():
        return True
    target = folder.resolve()
    if any(target.is_relative_to(other) or other.is_relative_to(target) for other in seen):
        return False
    seen.append(target)
    return True


def _raise(error: OSError) -> None:
    raise error
