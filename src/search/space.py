"""The search space of a sweep: config keys with their ranges, and points of it as command-line words."""

import json
import re
from collections.abc import Mapping
from typing import Any

from src.config.checks import is_integer, is_number
from src.config.errors import UserError, nearest
from src.config.identity import NOT_IDENTITY

SETTINGS = {"float": ("low", "high", "log", "step"), "int": ("low", "high", "log", "step"), "categorical": ("choices",)}
PLAIN_WORD = re.compile(r"(?!(true|false|null|nan|inf)$)[a-z_][\w./-]*", re.IGNORECASE)

# Keys that change how a trial is measured or how long it trains: scores would not be comparable.
NOT_SEARCHED = re.compile(r"(seed|data|name|trainer|debug)$|(stop|validation|evaluation)(\.|$)")


def literal(value: Any) -> str:
    """A value in Hydra's grammar."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, list):
        return f"[{','.join(map(literal, value))}]"
    if isinstance(value, str) and not PLAIN_WORD.fullmatch(value):
        return "'" + re.sub(r"(\\*)('|$)", lambda end: 2 * end[1] + (end[2] and "\\'"), value) + "'"
    return str(value)


def read_space(space: Mapping[str, Any]) -> dict[str, Any]:
    """Config key -> Optuna's distribution, of a sweep's `space`; raises UserError for the first invalid one.

    A choice is stored as the word that the command line takes, because Optuna stores no lists.
    """
    if not space:
        raise UserError("the search space is empty: give space some keys of python -m src.train's config")
    return {str(key): read_distribution(str(key), entry) for key, entry in space.items()}


def read_distribution(key: str, entry: Any) -> Any:
    """Optuna's distribution for an entry of `space`; UserError names what is wrong with it."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    where = f"space: {key}"
    given = {name: value for name, value in entry.items() if value is not None} if isinstance(entry, Mapping) else {}
    kind = given.pop("type", None)
    if not isinstance(kind, str) or kind not in SETTINGS:
        raise UserError(f"{where} needs a type: float, int or categorical")
    if unknown := [name for name in given if name not in SETTINGS[kind]]:
        raise UserError(f"{where} has no setting {unknown[0]!r}: {nearest(unknown[0], ('type', *SETTINGS[kind]))}")
    if NOT_IDENTITY.match(key) or NOT_SEARCHED.match(key):
        raise UserError(f"{where} cannot be searched: it is no part of the recipe, or of how trials are compared")
    if kind == "categorical":
        choices = given.get("choices")
        if not isinstance(choices, list) or len(choices) < 2:
            raise UserError(f"{where} needs choices: a list of at least two words, numbers, lists or null")
        return CategoricalDistribution([literal(choice) for choice in choices])
    valid, what = (is_number, "a number") if kind == "float" else (is_integer, "a whole number")
    for name, value in {"low": None, "high": None, **given}.items():
        if name != "log" and not valid(value):
            raise UserError(f"{where}: {name}={value!r} must be {what}")
    try:
        return FloatDistribution(**given) if kind == "float" else IntDistribution(**given)
    except ValueError as error:
        raise UserError(f"{where}: {' '.join(str(error).split())}") from error


def corners(space: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Points that together contain both ends of every range, and every choice."""
    ends = {key: getattr(found, "choices", None) or (found.low, found.high) for key, found in space.items()}
    return [{key: values[n % len(values)] for key, values in ends.items()} for n in range(max(map(len, ends.values())))]


def words(space: Mapping[str, Any], point: Mapping[str, Any]) -> list[str]:
    """A point of the space as words of the command line."""
    return [f"{key}={point[key]}" for key in space]
