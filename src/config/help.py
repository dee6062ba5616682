"""The text of --help: every setting with its value, its meaning and its range. Nothing here imports torch.

Meanings are the comments of the YAML files, at the end of a key's line or on the lines above it; of arguments of our own
classes, where the YAML says nothing, what the class's docstring says of them.
"""

import ast
import re
import shutil
import textwrap
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from src.config.checks import ARGUMENTS, CHOICES, KEYS, NULLABLE, leaves
from src.config.structure import CONF, WITHOUT_KEY, primary, read

INDENT, MOST = 36, 128  # columns
KEY = re.compile(r"(?P<indent> *)(?P<key>[\w.]+):(?P<rest>.*)")
PLAIN_WORDS = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "a word", "None": "null"}
GLOBAL = "# @package _global_"


class Argument(NamedTuple):
    """An argument of a class or function: what its docstring says of it, and its annotation."""

    meaning: str
    annotation: str


def help_text(command: str, config: Mapping[str, Any], choices: Mapping[str, str], groups: Mapping[str, list[str]]) -> str:
    """The text for a command.

    config: composed, with its interpolations. choices: the option that is chosen of each config group. groups: the names of
    each group's configs.
    """
    own = [group for group in sorted(primary(command)[1] - {"paths"}) if group in groups]
    words = f"python -m src.{command} {'[group=option] ' if own else ''}[key=value ...]"
    lines = [f"{words}      (-m runs every combination of a=1,2,3)", ""]
    if own:
        lines += [
            "Groups, with the chosen option:",
            *(line for group in own for line in listed(group, choices.get(group), groups)),
        ]
        lines.append("")
    meanings = meanings_of(command, choices)
    lines.append("Settings:")
    section = ""
    for key, value in leaves(config):
        name = key.rpartition(".")[2]
        if name == "_partial_":
            continue
        first = key.partition(".")[0]
        if first != section and first != key and first in meanings:
            lines += textwrap.wrap(f"{first}: {meanings[first]}", width(), subsequent_indent="    ")
        section = first
        if name == "_target_":
            lines += entry(key, value, first_sentence(str(value)))
        else:
            lines += entry(key, value, meaning_of(key, config, meanings), range_of(key, config))
    return "\n".join(lines)


def listed(group: str, chosen: str | None, groups: Mapping[str, list[str]]) -> list[str]:
    text = f"{group}={chosen or 'null'}: {', '.join(sorted(groups[group]))}"
    return textwrap.wrap(text, width(), initial_indent="  ", subsequent_indent="      ")


def entry(key: str, value: Any, meaning: str, limits: str = "") -> list[str]:
    """A setting on one line or more: `key=value` as it is typed, and beside it what it means."""
    shown = "..." if value == "???" else yaml.safe_dump(value, default_flow_style=True, width=1e9).removesuffix("...\n").strip()
    words = f"  {key}={shown.strip(chr(39))}"
    text = f"{meaning} [{limits}]" if limits else meaning
    space = " " * INDENT
    if len(words) < INDENT:
        found = textwrap.wrap(text, width(), initial_indent=words.ljust(INDENT), subsequent_indent=space)
        return found or [words]
    return [words, *textwrap.wrap(text, width(), initial_indent=space, subsequent_indent=space)]


def width() -> int:
    return max(80, min(MOST, shutil.get_terminal_size((MOST, 24)).columns))


def range_of(key: str, config: Mapping[str, Any]) -> str:
    """What values a setting takes, by the checks of src/config/checks.py or by the annotation of the argument."""
    *parents, name = key.split(".")
    argument = argument_of(key, config)
    if key in CHOICES:
        found = " | ".join(map(str, CHOICES[key]))
    elif argument is not None:
        found = ARGUMENTS.get(name) or KEYS.get(key) or in_words(argument.annotation)
    else:
        found = KEYS.get(key) or (ARGUMENTS.get(name, "") if target_of(parents, config) else "")
    null = {key, f"{parents[0] if parents else key}."} & set(NULLABLE) or (argument and "None" in argument.annotation)
    found = found.replace(" (a number as ./3)", "")
    return found + (" or null" if found and null and "null" not in found else "")


def in_words(annotation: str) -> str:
    """An annotation of simple kinds in words; empty for others."""
    kinds = [kind.strip() for kind in annotation.split("|")]
    return " or ".join(PLAIN_WORDS[kind] for kind in kinds) if all(kind in PLAIN_WORDS for kind in kinds) else ""


def meaning_of(key: str, config: Mapping[str, Any], meanings: Mapping[str, str]) -> str:
    """What a setting means: its own comment, the docstring of its class, or the comment of a like-named key of its section."""
    if key in meanings:
        return meanings[key]
    if (argument := argument_of(key, config)) is not None and argument.meaning:
        return argument.meaning
    section, name = key.partition(".")[0], key.rpartition(".")[2]
    return next(
        (text for other, text in meanings.items() if other.startswith(f"{section}.") and other.endswith(f".{name}")), ""
    )


# Comments


def meanings_of(command: str, choices: Mapping[str, str]) -> dict[str, str]:
    """Dotted key -> comment, from a command's own config and the chosen ones: the more general file comes first and counts.

    A key means the same in all files of a group, so what no chosen file says is taken from the others.
    """
    chosen = [(group, option) for group, option in choices.items() if option and not group.startswith("hydra")]
    found = dict(comments(CONF / f"{command}.yaml"))
    for path in (path for group, option in chosen for path in with_defaults(CONF / group / f"{option}.yaml")):
        found = dict(comments(path)) | found
    for path in (path for group, _ in chosen if group not in WITHOUT_KEY for path in sorted((CONF / group).glob("*.yaml"))):
        found = {key: text for key, text in comments(path) if "." in key or key == "name"} | found
    return found


def with_defaults(path: Path) -> Iterator[Path]:
    """A config file after those that its defaults list names; nothing for a file of the user's, which is elsewhere."""
    if not path.is_file():
        return
    for name in read(path).get("defaults", []):
        if isinstance(name, str) and name != "_self_":
            yield from with_defaults(path.parent / f"{name}.yaml")
    yield path


def comments(path: Path) -> Iterator[tuple[str, str]]:
    """(dotted key, comment) of the keys of a file; comments at its beginning are of the group as a whole.

    A recipe also sets keys of other sections, and says there why it has this value: that is left out.
    """
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    group, recipe = path.relative_to(CONF).parts[0], GLOBAL in lines[:1]
    package = [] if recipe or path.parent == CONF else list(path.relative_to(CONF).parts[:-1])
    parents: list[tuple[int, str]] = []
    above: list[str] = []
    begun = False
    for line in lines:
        text = line.strip()
        if text.startswith("#"):
            above.append(text.lstrip("# "))
            continue
        if (match := KEY.fullmatch(line)) is None:
            above = []
            continue
        indent = len(match["indent"])
        parents = [*((depth, key) for depth, key in parents if depth < indent), (indent, match["key"])]
        key = ".".join([*package, *(name for _, name in parents)])
        comment = match["rest"].partition(" # ")[2].strip()
        if not begun and package and above:
            yield ".".join(package), " ".join(above)
            above = []
        found = comment or (" ".join(above) if begun else "")
        if found and (not recipe or key == "name" or key.startswith(f"{group}.")):
            only = re.match(r" *\{(\w+): [^,]*\}", match["rest"])  # entry of a section: the comment is about it
            yield (f"{key}.{only[1]}" if only else key), found
        begun, above = True, []


# Arguments


def argument_of(key: str, config: Mapping[str, Any]) -> Argument | None:
    """The argument that a key gives to one of our own classes; None for other keys."""
    *parents, name = key.split(".")
    return arguments_of(target_of(parents, config)).get(name)


def target_of(parents: list[str], config: Mapping[str, Any]) -> str:
    node: Any = config
    for parent in parents:
        node = node.get(parent, {}) if isinstance(node, Mapping) else {}
    return str(node.get("_target_", "")) if isinstance(node, Mapping) and parents else ""


@cache
def source_of(target: str) -> ast.ClassDef | ast.FunctionDef | None:
    """The syntax tree of one of our own classes or functions: an import would need torch. None for others."""
    module, _, name = target.rpartition(".")
    path = CONF.parent.joinpath(*module.split(".")).with_suffix(".py")
    if not module.startswith("src.") or not path.is_file():
        return None
    tree = ast.parse(path.read_text()).body
    return next((node for node in tree if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name), None)


def first_sentence(target: str) -> str:
    """The first line of a docstring."""
    node = source_of(target)
    return (ast.get_docstring(node) or "").partition("\n")[0] if node else ""


@cache
def arguments_of(target: str) -> dict[str, Argument]:
    """The arguments of one of our own classes or functions, by name."""
    node = source_of(target)
    function = node
    if isinstance(node, ast.ClassDef):
        function = next((part for part in node.body if isinstance(part, ast.FunctionDef) and part.name == "__init__"), None)
    if node is None or not isinstance(function, ast.FunctionDef):
        return {}
    arguments = [*function.args.args, *function.args.kwonlyargs]
    known = {argument.arg: ast.unparse(argument.annotation) if argument.annotation else "" for argument in arguments}
    said = in_docstring(ast.get_docstring(node) or "", set(known))
    return {name: Argument(said.get(name, ""), annotation) for name, annotation in known.items()}


def in_docstring(text: str, known: set[str]) -> dict[str, str]:
    """Argument -> what a docstring says of it, in the form "name: words" or "name, other: words"."""
    found: dict[str, str] = {}
    for paragraph in text.split("\n\n"):
        words = " ".join(paragraph.split())
        starts = [
            match for match in re.finditer(r"(?:^|(?<=[.;] ))(\w+(?:, \w+)*): ", words) if known & set(match[1].split(", "))
        ]
        for match, following in zip_longest(starts, starts[1:]):
            meaning = words[match.end() : following.start() if following else None].strip().rstrip(".").replace("None", "null")
            found |= dict.fromkeys(match[1].split(", "), meaning)
    return found
