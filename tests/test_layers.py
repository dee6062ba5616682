"""Imports go one way (DESIGN: spec <- data, networks, losses, metrics <- models, modalities <- run <- entry points)."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAYERS = [
    {
        "errors",
        "files",
        "interpreter",
        "pixels",
        "spec",
        "rng",
        "schedules",
        "ema",
        "augment",
        "adaptive_augment",
        "config",
        "code",
        "environment",
        "intervals",
        "distributed",
        "shared_memory",
        "numerics",
        "place",
        "processes",
        "heartbeat",
        "progress",
        "signals",
        "energy",
    },
    {"instantiate", "data", "networks", "losses", "metrics"},
    {"models", "modalities", "export", "protocol", "checkpoints"},
    {"run", "scoring", "callbacks", "cli", "reporting", "search", "strategy"},
    {"fit", "learn"},
    {"train", "evaluate", "generate", "prepare", "extractor", "readme", "recipe", "report", "sweep", "verify"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
FILES = sorted((ROOT / "src").rglob("*.py"))


def part(path: Path) -> str:
    return path.relative_to(ROOT / "src").parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """Parts of src that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names] if node.module == "src" else [node.module]
            found |= {name.split(".")[1] for name in names if name.startswith("src.")}
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("src.")}
    return found


@pytest.mark.parametrize("path", [path for path in FILES if path.name != "__init__.py"], ids=lambda path: path.stem)
def test_imports_go_one_way(path: Path) -> None:
    assert part(path) in LEVEL, f"give {part(path)} a layer"
    own = LEVEL[part(path)]
    for name in imported(path) - {part(path)}:
        assert LEVEL[name] <= own, f"{path} imports {name} from a layer above"
        assert own < len(LAYERS) - 1 or LEVEL[name] < own, f"entry points never import each other: {path} imports {name}"


@pytest.mark.parametrize("name", ["networks", "losses"])
def test_networks_and_losses_are_plain_torch(name: str) -> None:
    for path in (ROOT / "src" / name).glob("*.py"):
        words = path.read_text()
        assert "lightning" not in words, path
        assert "hydra" not in words, path
