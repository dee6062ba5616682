"""Imports go one way: config, data, networks, models, run folder, evaluation and training, reporting and page, commands."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# A module has the layer of the longest name here that it begins with.
LAYERS = [
    {"config", "system", "data.spec", "data.pixels", "training.rng", "training.schedules", "training.ema"},
    {"parallel", "config.command_line"},
    {"data", "networks", "evaluation.metrics", "evaluation.extractors", "evaluation.intervals"},
    {"models", "modalities"},
    {"runs", "system.numerics"},
    {"evaluation", "training"},
    {"reporting", "search", "page"},
    {"train", "evaluate", "generate", "directions", "play", "prepare", "report", "sweep", "verify", "tools"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
FILES = sorted(path for path in (ROOT / "src").rglob("*.py") if path.name != "__init__.py")


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT / "src").with_suffix("").parts)


def level_of(name: str) -> int:
    parts = name.split(".")
    found = [".".join(parts[:n]) for n in range(len(parts), 0, -1) if ".".join(parts[:n]) in LEVEL]
    assert found, f"give {name} a layer"
    return LEVEL[found[0]]


def imported(path: Path) -> set[str]:
    """Modules of src that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] == "src":
            inside = (ROOT / node.module.replace(".", "/")).is_dir()
            found |= {f"{node.module}.{alias.name}" for alias in node.names} if inside else {node.module}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith("src.")}
    return {name.removeprefix("src.") for name in found}


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_go_one_way(path: Path) -> None:
    own = level_of(name_of(path))
    for name in imported(path):
        assert level_of(name) <= own, f"{path} imports {name} from a layer above"
        command = own == len(LAYERS) - 1 and not name_of(path).startswith("tools") and not name.startswith("tools")
        assert not command or level_of(name) < own, f"commands never import each other: {path} imports {name}"


@pytest.mark.parametrize("path", [path for path in FILES if name_of(path).startswith("networks.")], ids=name_of)
def test_networks_are_plain_torch(path: Path) -> None:
    words = path.read_text()
    assert "lightning" not in words, path
    assert "hydra" not in words, path


def test_only_commands_lie_directly_in_src() -> None:
    files = {path.stem for path in (ROOT / "src").glob("*.py")} - {"__init__"}
    assert len(files) <= 10
    assert files <= LAYERS[-1]
    assert all("command_line.run(" in (ROOT / "src" / f"{name}.py").read_text() for name in files)
