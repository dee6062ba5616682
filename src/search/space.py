"""The search space of a sweep: config keys with their ranges, and points of it as command-line words."""

import json
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from src.config.checks import is_integer, is_number
from src.config.errors import UserError, nearest
from src.config.identity import NOT_IDENTITY

FIELDS = {"float": ("low", "high", "log", "step"), "int": ("low", "high", "log", "step"), "categorical": ("choices",)}
PLAIN_WORD = re.compile(r"(?!(true|false|null|nan|inf)$)[a-z_][\w./-]*", re.IGNORECASE)

# Keys that change how a trial is measured or how long it trains: scores would not be comparable.
NOT_SEARCHED = re.compile(r"(seed|data|name|trainer|debug)$|(stop|validation|evaluation)(\.|$)")


@dataclass(frozen=True)
class Parameter:
    """A config key that a sweep varies, with Optuna's distribution of its values.

    Optuna stores plain values only: a list among the choices is stored as its JSON.
    """

    key: str
    distribution: Any
    choices: Mapping[Any, Any]  # value in Optuna -> the choice; empty for numbers

    def corners(self) -> list[Any]:
        """Both ends of a range, or every choice."""
        return list(self.choices) or [self.distribution.low, self.distribution.high]

    def word(self, value: Any) -> str:
        """key=value as the command line takes it."""
        return f"{self.key}={literal(self.choices.get(value, value))}"


def literal(value: Any) -> str:
    """A value in Hydra's grammar."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, list):
        return f"[{','.join(map(literal, value))}]"
    if isinstance(value, str) and not PLAIN_WORD.fullmatch(value):
        return "'" + re.sub(r"(\\*)('|$)", lambda end: 2 * end[1] + (end[2] and "\\'"), value) + "'"
    return str(value)


def read_space(space: Mapping[str, Any]) -> list[Parameter]:
    """The parameters of a sweep's `space`; raises UserError for the first invalid one."""
    if not space:
        raise UserError("the search space is empty: give space some keys of python -m src.train's config")
    return [read_parameter(str(key), entry) for key, entry in space.items()]


def read_parameter(key: str, entry: Any) -> Parameter:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    where = f"space: {key}"
    kind = entry.get("type") if isinstance(entry, Mapping) else None
    if not isinstance(kind, str) or kind not in FIELDS:
        raise UserError(f"{where} needs a type: float, int or categorical")
    values = {name: value for name, value in entry.items() if name != "type" and value is not None}
    if unknown := [name for name in values if name not in FIELDS[kind]]:
        raise UserError(f"{where} has no setting {unknown[0]!r}: {nearest(unknown[0], ('type', *FIELDS[kind]))}")
    if NOT_IDENTITY.match(key) or NOT_SEARCHED.match(key):
        raise UserError(f"{where} cannot be searched: it is no part of the recipe, or of how trials are compared")
    if kind == "categorical":
        choices = values.get("choices")
        if not isinstance(choices, list) or len(choices) < 2 or any(isinstance(choice, dict) for choice in choices):
            raise UserError(f"{where} needs choices: a list of at least two words, numbers, lists or null")
        named = {json.dumps(choice) if isinstance(choice, list) else choice: choice for choice in choices}
        if len(named) < len(choices):
            raise UserError(f"{where} has one of its choices twice: {literal(choices)}")
        return Parameter(key, CategoricalDistribution(list(named)), named)
    number, what = (is_number, "a number") if kind == "float" else (is_integer, "a whole number")
    for name in ("low", "high", *(["step"] if "step" in values else [])):
        if not number(values.get(name)):
            raise UserError(f"{where}: {name}={values.get(name)!r} must be {what}")
    if not isinstance(values.get("log", False), bool):
        raise UserError(f"{where}: log={values['log']!r} must be true or false")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # raised if the step does not divide the range
            return Parameter(key, (FloatDistribution if kind == "float" else IntDistribution)(**values), {})
    except (ValueError, UserWarning) as error:
        raise UserError(f"{where}: {' '.join(str(error).split())}") from error


def corners(parameters: list[Parameter]) -> list[dict[str, Any]]:
    """Points that together contain both ends of every range, and every choice."""
    values = {parameter.key: parameter.corners() for parameter in parameters}
    return [
        {key: found[number % len(found)] for key, found in values.items()} for number in range(max(map(len, values.values())))
    ]


def words(parameters: list[Parameter], point: Mapping[str, Any]) -> list[str]:
    return [parameter.word(point[parameter.key]) for parameter in parameters]
