"""Build objects from a plain config: `_target_` names what to call; `_partial_: true` gives a partial instead of a call.

Not Hydra's `instantiate`: it resolves interpolations such as `${oc.env:SECRET}` in any config, and cannot distinguish an
untrusted config from one that the user has typed.
"""

import functools
import importlib
import inspect
from collections.abc import Callable
from typing import Any

from src.config.checks import check_target
from src.config.errors import UserError, nearest


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
        return functools.partial(target, **given) if value.get("_partial_") else target(**given)
    except UserError:
        raise
    except (TypeError, ValueError) as error:
        raise UserError(f"{key}: {error}") from error


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
