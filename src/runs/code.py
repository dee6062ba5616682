"""The source files that a result can depend on: all that the entry point and the config's targets import, directly or not."""

import ast
import functools
import hashlib
import importlib.util
import sys
import sysconfig
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from src.config.checks import entries, user_packages

# Left out: these modules report, locate and write. What they return (bytes of data, a config) is checked by other hashes.
HARMLESS = {
    *("src.config.command_line", "src.config.checks", "src.config.structure", "src.config.identity", "src.config.errors"),
    *("src.config.help", "src.config.home"),
    *("src.runs.code", "src.runs.manifest", "src.system.files", "src.system.progress", "src.training.callbacks.progress"),
    *("src.data.clients", "src.data.sources"),
}


def sources(entry: str, config: Mapping[str, Any]) -> dict[str, str]:
    """File -> digest of its syntax tree, for all own code behind an entry point; takes 0.2 s, without importing torch.

    entry: "src.train" or another module. config: plain; its targets are built by name, so no import statement shows them.
    """
    targets = [value for key, value in entries(config) if key.rpartition(".")[2] == "_target_"]
    roots = [entry, *(target.rpartition(".")[0] for target in targets)]
    files = closure(roots)
    names = {module: module.replace(".", "/") + "/__init__" * (file.stem == "__init__") for module, file in files.items()}
    return {f"{names[module]}.py": syntax_digest(files[module].read_bytes()) for module in sorted(files)}


@functools.cache  # by the bytes: a run asks twice, and a process may make several runs
def syntax_digest(source: bytes) -> str:
    """16 hex digits of a file's syntax tree: comments, docstrings and the layout of the text do not count."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
                node.body = node.body[1:]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()[:16]


def closure(modules: Iterable[str]) -> dict[str, Path]:
    """Module -> file, for these modules and everything that they import, if it is our own code or the user's."""
    waiting, met, files = list(modules), set(HARMLESS), {}
    while waiting:
        module = waiting.pop()
        if module in met:
            continue
        met.add(module)
        waiting.append(module.rpartition(".")[0])  # the package, which Python imports first
        if file := locate(module):
            files[module] = file
            waiting += imported(file.read_bytes(), (*module.split("."), *["__init__"] * (file.stem == "__init__")))
    return files


def locate(module: str) -> Path | None:
    """The file of one of our own or the user's modules or packages.

    None for a package whose __init__ has no code, for installed packages, and for unknown names.
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
    """Whether a package is ours, named by the user, or not installed; the lock file covers the installed ones."""
    return package in ("src", *user_packages()) or not is_installed(package, path)


@functools.cache
def is_installed(package: str, path: tuple[str, ...]) -> bool:
    """Whether a package is in the standard library or in site-packages, or cannot be found on this `sys.path`."""
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


@functools.cache
def imported(source: bytes, parts: tuple[str, ...]) -> list[str]:
    """Names that a file imports, anywhere in it; some are attributes of modules instead of modules.

    parts: those of the file's path, as in ("src", "networks", "mlp") or ("my_lab", "__init__").
    """
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(parts[: -node.level]) if node.level else ""
            package = ".".join(part for part in (base, node.module or "") if part)
            found += [package, *(f"{package}.{alias.name}" for alias in node.names)]
    return found
