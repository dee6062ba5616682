"""Which keys and sections a config must and may have, wherever they come from: the command line, our files or the user's."""

import re
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from src.config.checks import entries, leaves
from src.config.errors import UserError, suggestions

CONF = Path(__file__).parents[2] / "conf"
WITHOUT_KEY = ("experiment", "debug", "sweep")  # groups whose files say "# @package _global_" and set other keys
SWITCHABLE = ("validation", "samples", "loss", "logger", "callbacks")  # sections that null switches off
FIXED = ("stop", "log", "validation", "samples", "checkpoint", "paths")  # sections whose keys are all known
DATA = ("name", "batch_size", "workers", "source", "modality")
WRITTEN = ("digest",)  # keys of data that a training adds to its config
BUILT = ("model", "evaluation", "data.source", "data.modality")  # sections with a _target_
REFERENCE = re.compile(r"\$\{(?:oc\.select:)?([\w.]+)[,}\[]")


def check_structure(command: str, values: Mapping[str, Any], user_dir: str | None) -> None:
    """Raise UserError for a missing section or key, for a section that is none, and for a key that nothing reads.

    command: name of the primary config. values: the config with its interpolations, which a missing section breaks. user_dir:
    the user's folder of configs.
    """
    base, groups = primary(command)
    for key in sorted(groups & set(WITHOUT_KEY) & values.keys()):
        raise UserError(
            f"the keys of {file_of(key, values[key], user_dir)} would be set below {key}.: its first line must be "
            "'# @package _global_', without a byte-order mark"
        )
    sections = {key: value for key, value in base.items() if isinstance(value, Mapping)}
    if "paths" in groups:
        sections["paths"] = read(CONF / "paths" / "default.yaml")
    for key in [*base, *sorted(groups - set(WITHOUT_KEY))]:
        if key not in values:
            raise UserError(f"{key} is missing: leave ~{key} out{', null switches it off' if key in SWITCHABLE else ''}")
    for key in sections:
        check_section(key, values[key], sections[key])
    if "data" in groups:
        check_section("data", values["data"], dict.fromkeys(DATA))
    for key in BUILT:
        group, _, part = key.partition(".")
        if group in groups:
            check_built(key, values[group][part] if part else values[group])
    known = {*base, *groups, "name"}
    named = references(values)
    if "loss" in groups and values["loss"] and "loss" not in named and "loss" not in values["model"]:  # there once resolved
        raise UserError("loss: nothing reads it with this model: leave loss= out")
    if unknown := next((key for key in keys_of(values) if not is_read(key, known, sections, user_dir, named)), None):
        place = file_of(unknown, None, user_dir)
        parent = unknown.rpartition(".")[0]
        others = {key for key, _ in leaves(values)} | set(known_leaves(sections)) | known
        beside = [key for key in others if key != unknown and key.rpartition(".")[0] == parent]
        found = suggestions(unknown, [key for key, _ in entries(values)], beside)
        raise UserError(f"there is no setting {unknown!r}{f' (in {place})' if place else ''}: {found}")


@cache
def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8-sig")) or {}


def primary(command: str) -> tuple[dict[str, Any], set[str]]:
    """The keys of a command's own config, and the groups of its defaults list."""
    config = dict(read(CONF / f"{command}.yaml"))
    defaults = [next(iter(entry)) for entry in config.pop("defaults") if isinstance(entry, dict)]
    return config, {group for group in defaults if not group.startswith("override ") and group != "hydra"}


def check_section(key: str, value: Any, section: Mapping[str, Any]) -> None:
    """Raise UserError unless a value is a mapping with all keys of the section, or null where that switches it off."""
    if value is None and key in SWITCHABLE:
        return
    if not isinstance(value, Mapping):
        entry = next(iter(section), "name")
        may = " (null switches it off)" if key in SWITCHABLE else ""
        raise UserError(f"{key}={'null' if value is None else value}: is a section, set its entries: {key}.{entry}=...{may}")
    if missing := [name for name in section if name not in value]:
        raise UserError(f"{key}.{missing[0]} is missing: leave ~{key}.{missing[0]} out")


def check_built(key: str, value: Any) -> None:
    if not (isinstance(value, Mapping) and value.get("_target_")):
        raise UserError(
            f"{key}={'null' if value is None else value}: must be settings with a _target_, such as those in conf/"
            if not isinstance(value, Mapping)
            else f"{key} has no _target_: see the files in conf/{key.partition('.')[0]}, and their first lines"
        )
    if key in ("evaluation", "data.source") and value.get("_partial_"):
        raise UserError(f"{key}._partial_=true: leave it out, the object is used as it is")


def keys_of(values: Mapping[str, Any]) -> Iterator[str]:
    """The dotted keys that are checked: all at the top, and those within sections with known keys and within data."""
    for key, value in values.items():
        yield key
        if key in (*FIXED, "data") and isinstance(value, Mapping):
            yield from (f"{key}.{name}" for name in value)


def is_read(key: str, known: set[str], sections: Mapping[str, Any], user_dir: str | None, references: set[str]) -> bool:
    """Whether anything reads a key: we do, or an interpolation of another value."""
    section, _, name = key.partition(".")
    if not name:
        return key in known or key in references
    if section == "data" and section not in sections:
        return name in (*DATA, *WRITTEN) or name in names_in_files("data", user_dir) or key in references
    return section not in sections or not sections[section] or name in sections[section] or key in references


def references(values: Mapping[str, Any]) -> set[str]:
    """The dotted keys that interpolations name, with the sections around them."""
    words = (value for _, value in leaves(values) if isinstance(value, str))
    found = {match for word in words for match in REFERENCE.findall(word)}
    return found | {".".join(key.split(".")[:n]) for key in found for n in range(1, key.count(".") + 1)}


def names_in_files(group: str, user_dir: str | None) -> set[str]:
    """The keys that a group's files set below the group's own."""
    folders = [CONF / group, *([Path(user_dir) / group] if user_dir else [])]
    return {str(key) for folder in folders for path in folder.glob("*.yaml") for key in read(path)}


def known_leaves(sections: Mapping[str, Any]) -> list[str]:
    return [f"{key}.{name}" for key, section in sections.items() for name in section]


def file_of(key: str, value: Any, user_dir: str | None) -> str:
    """The user's file that sets a key, or whose contents are the value; one named on the command line first."""
    files = sorted(Path(user_dir).rglob("*.yaml") if user_dir else [], key=lambda path: not named(path))
    for path in files:
        content = read(path)
        if isinstance(content, Mapping) and (has(content, key) or (value is not None and path.parent.name == key)):
            return str(path)
    return f"{key}={value if isinstance(value, str) else '...'}" if value is not None else ""


def named(path: Path) -> bool:
    """Whether the command line chooses a config file."""
    return any(word.endswith(f"{path.parent.name}={path.stem}") for word in sys.argv[1:])


def has(content: Mapping[str, Any], key: str) -> bool:
    """Whether a dotted key is set in a file's contents."""
    value: Any = content
    for name in key.split("."):
        if not isinstance(value, Mapping) or name not in value:
            return False
        value = value[name]
    return True
