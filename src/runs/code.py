"""The code that a result can depend on: the files that its config's targets and the entry point import, directly or not."""

import ast
import functools
import importlib.util
import sys
import sysconfig
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from src.config.checks import entries, user_packages
from src.system.files import sha256

# They say things, find things and write them down. What they deliver (bytes of data, a config) is checked by other means.
HARMLESS = {
    *("src.config.command_line", "src.config.checks", "src.config.errors", "src.runs.code", "src.runs.manifest"),
    *("src.system.files", "src.system.progress", "src.training.callbacks.progress", "src.data.clients", "src.data.sources"),
}


def sources(entry: str, config: Mapping[str, Any]) -> dict[str, str]:
    """File -> start of its SHA-256, of all own code behind an entry point; found in a tenth of a second, without torch.

    entry: "src.train" or another module. config: plain; its targets are built by name, which no import shows.
    """
    targets = [value for key, value in entries(config) if key.rpartition(".")[2] == "_target_"]
    roots = [entry, *(target.rpartition(".")[0] for target in targets)]
    files = closure(roots)
    names = {module: module.replace(".", "/") + "/__init__" * (file.stem == "__init__") for module, file in files.items()}
    return {f"{names[module]}.py": sha256(files[module])[:16] for module in sorted(files)}


def closure(modules: Iterable[str]) -> dict[str, Path]:
    """These modules and all that they import, with their files, as far as it is our own or a user's package."""
    waiting, met, files = list(modules), set(HARMLESS), {}
    while waiting:
        module = waiting.pop()
        if module in met:
            continue
        met.add(module)
        waiting.append(module.rpartition(".")[0])  # the package, which Python imports first
        if file := locate(module):
            files[module] = file
            waiting += imported(file, module)
    return files


def locate(module: str) -> Path | None:
    """The file of one of our own modules or packages.

    None for a package without code of its own, for other people's, and where there is nothing of that name.
    """
    package, *parts = module.split(".")
    found = importlib.util.find_spec(package) if is_own(package, tuple(sys.path)) else None  # imports nothing
    if found and found.origin and not found.submodule_search_locations:  # one file
        return Path(found.origin) if not parts and found.origin.endswith(".py") else None
    for folder in (found and found.submodule_search_locations) or ():
        inside = Path(folder, *parts, "__init__.py")
        if inside.is_file():
            return inside if has_code(inside) else None
        file = Path(folder, *parts).with_suffix(".py")
        if parts and file.is_file():
            return file
    return None


def is_own(package: str, path: tuple[str, ...]) -> bool:
    """Whether a package is ours, one that the user has named, or one that is not installed: the lock file names the others."""
    return package in ("src", *user_packages()) or not is_installed(package, path)


@functools.cache
def is_installed(package: str, path: tuple[str, ...]) -> bool:
    """Whether a package is in Python's library or among the installed ones, or is nowhere on this `sys.path`."""
    found = importlib.util.find_spec(package) if package not in ("", "__main__") else None
    places = [*(found.submodule_search_locations or [found.origin or ""])] if found else []
    library = Path(sysconfig.get_path("stdlib"))
    own = [
        place
        for place in map(Path, places)
        if place.is_absolute() and not {"site-packages", "dist-packages"} & {*place.parts} and not place.is_relative_to(library)
    ]
    return not own


def has_code(path: Path) -> bool:
    """Whether a file holds more than its docstring."""
    body = ast.parse(path.read_text()).body
    return len(body) > 1 or any(not isinstance(node, ast.Expr) for node in body)


def imported(path: Path, module: str) -> list[str]:
    """Names of modules that a file may import, anywhere in it; attributes of modules are among them and are no modules."""
    found = []
    parts = [*module.split("."), *(["__init__"] if path.name == "__init__.py" else [])]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(parts[: -node.level]) if node.level else ""
            package = ".".join(part for part in (base, node.module or "") if part)
            found += [package, *(f"{package}.{alias.name}" for alias in node.names)]
    return found
