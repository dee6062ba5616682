"""Build objects from a plain config: `_target_` names what to call; `_partial_: true` gives a partial instead of a call.

Not Hydra's `instantiate`: it resolves interpolations such as `${oc.env:SECRET}` in any config, and cannot distinguish an
untrusted config from one that the user has typed.
"""

import collections.abc
import functools
import importlib
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from src.config.checks import OWN, check_target
from src.config.errors import UserError, nearest

PLAIN = str | int | float | list | dict
KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a word", types.NoneType: "null", None: "null"}


def instantiate(value: Any, key: str, trusted: bool = True) -> Any:
    """Build a config's value at `key`: mappings with a `_target_` become objects, innermost first; other values stay.

    trusted: False for a config that may come from someone else, which may build only allowed targets (`checks.check_target`).
    Raises UserError, naming the key, for a target that does not exist or is not allowed, and for unknown arguments.
    """
    if isinstance(value, list):
        return [instantiate(entry, f"{key}.{number}", trusted) for number, entry in enumerate(value)]
    if not isinstance(value, dict):
        return value
    given = {name: entry for name, entry in value.items() if name not in ("_target_", "_partial_")}
    given = {name: instantiate(entry, f"{key}.{name}", trusted) for name, entry in given.items()}
    if "_target_" not in value:
        return given
    target = locate(value["_target_"], f"{key}._target_", trusted)
    try:
        signature = inspect.signature(target)
        known = [name for name, parameter in signature.parameters.items() if parameter.kind != parameter.VAR_KEYWORD]
        if len(known) == len(signature.parameters) and (unknown := sorted(given.keys() - set(known))):
            raise UserError(f"{key}: {value['_target_']} has no argument {unknown[0]!r}: {nearest(unknown[0], known)}")
        signature.bind_partial(**given)
        if value["_target_"].startswith(OWN):
            check_kinds(target, given, key)
        return functools.partial(target, **given) if value.get("_partial_") else target(**given)
    except UserError:
        raise
    except (TypeError, ValueError) as error:
        raise UserError(f"{key}: {error}") from error


def check_kinds(target: Callable[..., Any], given: Mapping[str, Any], key: str) -> None:
    """Raise UserError for the first argument that is not of the kind that our own class or function says."""
    hints = typing.get_type_hints(target.__init__ if inspect.isclass(target) else target)
    for name, value in given.items():
        if name in hints and not is_kind(value, hints[name]):
            shown = "null" if value is None else repr(value) if isinstance(value, PLAIN) else type(value).__name__
            raise UserError(f"{key}.{name}={shown}: must be {words_for(hints[name])}")


def is_kind(value: Any, hint: Any) -> bool:
    """Whether a value from a config may stand for a type hint; kinds that no config has are not checked."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return any(is_kind(value, part) for part in parts)
    if hint in (int, float):  # a bool is an int to Python
        return isinstance(value, int if hint is int else int | float) and not isinstance(value, bool)
    if hint in (bool, str, None, types.NoneType):
        return isinstance(value, types.NoneType if hint is None else hint)
    if origin is collections.abc.Callable:
        return callable(value)
    if origin in (list, tuple, collections.abc.Sequence):
        return isinstance(value, list | tuple) and all(is_kind(entry, parts[0]) for entry in value)
    if origin in (dict, collections.abc.Mapping):  # an entry that is null is switched off
        return isinstance(value, dict) and all(entry is None or is_kind(entry, parts[1]) for entry in value.values())
    if inspect.isclass(hint) and hint is not Path:
        return not isinstance(value, PLAIN | None)
    return True


def words_for(hint: Any) -> str:
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return " or ".join(dict.fromkeys(map(words_for, parts)))
    if origin in (list, tuple, collections.abc.Sequence):
        return f"a list, each entry {words_for(parts[0])}"
    if origin in (dict, collections.abc.Mapping):
        return f"a mapping, each entry {words_for(parts[1])}"
    if origin is collections.abc.Callable or (inspect.isclass(hint) and hint not in KINDS):
        return "settings with a _target_, such as those in conf/"
    return KINDS.get(hint, getattr(hint, "__name__", str(hint)))


def locate(name: str, key: str, trusted: bool = True) -> Callable[..., Any]:
    """The class or function with this dotted name; UserError if there is none, or it is not allowed.

    In an untrusted config the named module must define it, not only import it.
    """
    check_target(key, name, trusted)
    path, _, attribute = name.rpartition(".")
    try:
        found = getattr(importlib.import_module(path), attribute, None)
    except ModuleNotFoundError as error:
        if not f"{path}.".startswith(f"{error.name}."):  # a dependency of that module is missing
            raise
        refused = "" if trusted else " is not allowed"
        raise UserError(f"{key}={name}{refused}: there is no module {error.name}: correct it, or set PYTHONPATH") from error
    defined_there = (inspect.isclass(found) or inspect.isfunction(found)) and f"{found.__module__}.".startswith(f"{path}.")
    if not (defined_there if not trusted else callable(found)):
        refused = "" if trusted else " is not allowed"
        raise UserError(f"{key}={name}{refused}: {path} defines no class or function of that name")
    return found  # type: ignore[return-value]
