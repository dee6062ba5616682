"""What a run is named after: the settings that decide what it computes, and the data's bytes instead of their path."""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from src.config.checks import leaves

# Settings of where a run is computed and how it is logged, not of what it computes: they are not part of its identity.
NOT_IDENTITY = re.compile(
    r"(paths|logger|log|checkpoint|run_dir|devices|fresh|on_change|on_divergence|evaluate|publish|flagship|data\.workers|data\.(source\.)?path_b|evaluation\.(cache|device))(\.|$)"
    r"|trainer\.(?!precision$)"
)


def with_data_in(folder: str | None, config: Mapping[str, Any]) -> dict[str, Any]:
    """A config with all paths inside `paths.data` moved to `folder`; None moves nothing."""
    if folder is None or "paths" not in config:
        return dict(config)
    before = f"{config['paths']['data']}/"

    def moved(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: moved(entry) for key, entry in value.items()}
        inside = isinstance(value, str) and value.startswith(before)
        return f"{folder}/{value.removeprefix(before)}" if inside else value

    return moved(config) | {"paths": {**config["paths"], "data": folder}}


def with_path(path: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """A config whose own data (`data.path`) are at `path`: so are all paths of `data.source` at or below the former place.

    A second folder (`data.path_b`) that lay beside the first one lies beside it still.
    """
    data, before = config["data"], config["data"]["path"]
    downloads = f"{config.get('paths', {}).get('data')}/"  # which may lie below data.path, and stay

    def moved(name: str, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: moved(key, entry) for key, entry in value.items()}
        if not isinstance(value, str) or name == "name":  # data.name=book data.path=book
            return value
        inside = value.startswith(f"{before}/") and (before.startswith(downloads) or not value.startswith(downloads))
        return path if value == before else path + value.removeprefix(before) if inside else value

    found = {**data, "path": path, "source": moved("source", data["source"])}
    if "path_b" in data and Path(data["path_b"]).parent == Path(before).parent:
        beside = str(Path(path).with_name(Path(data["path_b"]).name))
        found |= {"path_b": beside, "source": {**found["source"], "path_b": beside}}
    return {**config, "data": found}


def data_digest(hashes: Mapping[str, str]) -> str:
    """Sixteen hex digits that name a data set by the SHA-256 of its files; a single one may have any name."""
    named = sorted(hashes.items()) if len(hashes) > 1 else sorted(hashes.values())
    return hashlib.sha256(json.dumps(named).encode()).hexdigest()[:16]


def identity(config: Mapping[str, Any]) -> dict[str, Any]:
    """The leaves that decide what a run computes. Paths of data count as if `paths.data` were `data`, wherever it is.

    The user's own data count by `data.digest`, not by their path.
    """
    placed = with_data_in("data", config)
    if isinstance(data := placed.get("data"), Mapping) and "path" in data:  # not in the protocol of an evaluation
        placed = with_path("data.path", placed)
    found = {key: value for key, value in leaves(placed) if not NOT_IDENTITY.match(key)}
    return {key: value for key, value in found.items() if (key, value) != ("extend", None)}  # as before there was such a key


def short_hash(config: Mapping[str, Any]) -> str:
    """Eight hex digits that name a config, the same for all seeds."""
    named = {key: value for key, value in identity(config).items() if key != "seed"}
    return hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()[:8]


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """The leaves of `identity` that differ, each as "key: old -> new"."""
    before, after = identity(old), identity(new)
    keys = sorted(before.keys() | after.keys())
    return [f"{k}: {before.get(k)} -> {after.get(k)}" for k in keys if before.get(k) != after.get(k)]
