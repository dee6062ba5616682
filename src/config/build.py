"""Objects from a plain config: `_target_` says what to call, `_partial_: true` leaves the call to whoever gets it.

Not Hydra's own `instantiate`. That one takes any attribute of anything for a target (`torch.optim.adam.torch.load`), resolves
what a run folder from elsewhere may interpolate (`${oc.env:SECRET}`), and its partials take 50 microseconds more at every call.
"""

import functools
import importlib
import inspect
from collections.abc import Callable
from typing import Any

from src.config.checks import check_target
from src.config.errors import UserError


def instantiate(value: Any, key: str) -> Any:
    """What a config's value at `key` describes: objects for mappings with a `_target_`, innermost first; the rest as it is.

    Raises UserError, with the key, for a target that configs may not name and for arguments that it does not take.
    """
    if isinstance(value, list):
        return [instantiate(entry, f"{key}.{number}") for number, entry in enumerate(value)]
    if not isinstance(value, dict):
        return value
    given = {name: entry for name, entry in value.items() if name not in ("_target_", "_partial_")}
    given = {name: instantiate(entry, f"{key}.{name}") for name, entry in given.items()}
    if "_target_" not in value:
        return given
    target = locate(value["_target_"], f"{key}._target_")
    try:
        inspect.signature(target).bind_partial(**given)
        return functools.partial(target, **given) if value.get("_partial_") else target(**given)
    except (TypeError, ValueError) as error:
        raise UserError(f"{key}: {error}") from error


def locate(name: str, key: str) -> Callable[..., Any]:
    """The class or function of this dotted name, which must be defined where the name says and not only be imported there."""
    check_target(key, name)
    path, _, attribute = name.rpartition(".")
    try:
        found = vars(importlib.import_module(path)).get(attribute)
    except ModuleNotFoundError as error:
        if not f"{path}.".startswith(f"{error.name}."):  # something that the module itself needs
            raise
        found = None
    if not (inspect.isclass(found) or inspect.isfunction(found)) or not f"{found.__module__}.".startswith(f"{path}."):
        raise UserError(f"{key}={name} is not allowed: {path} defines no class or function of that name")
    return found
