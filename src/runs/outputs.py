"""Where `src.generate` writes, and which settings fit together."""

import hashlib
from pathlib import Path
from typing import Any

from src.config.checks import leaves
from src.config.errors import UserError
from src.config.structure import CONF, read
from src.runs import filters, layouts, picture_sources, prompts, tunes
from src.runs.folder import RunFolder
from src.runs.sampling import SETTINGS
from src.system.files import check_writable

# Suffixes with which out= names a file, not a folder.
FILES = (
    *(".gif", ".jpeg", ".jpg", ".mp4", ".npz", ".onnx", ".png", ".safetensors", ".txt", ".webp"),
    *(".mid", ".musicxml", ".svg", ".wav"),
    *(".avi", ".mkv", ".mov", ".webm"),
)
NETWORK = "safetensors", "onnx"  # formats of the network, not of samples
# Recorded with the samples where they are given, as settings of text are.
SAMPLING_KEYS = "class", "attributes", "directions", *SETTINGS
NOT_NAMED = "run", "format", "out", "paths", "data", "seed", "film", "chat"  # not in a file's name, or elsewhere in it
LONGEST_WORD = 24  # characters of a setting in a file's name
PICTURES = "interpolate", "reconstruct", "traverse", "film"  # settings that each ask for one picture instead of samples
SAMPLES = 64  # default n of samples
SEEDS = 2**63  # archives store seeds as int64: all must be below this


def output_path(config: dict[str, Any], run: RunFolder, strip: str = ".png") -> Path:
    """The folder or file to write to; UserError for settings that the format does not support, or an unwritable place.

    strip: suffix of the file that shows rows of samples.
    """
    kind, picture = config["format"], picture_asked(config)
    if picture and kind != "files":
        raise UserError(f"{picture}= makes one picture, format={kind} has no place for it: leave one of them out")
    tunes.check(config, picture)
    if picture and (
        text := [*prompts.given(config), *picture_sources.given(config), *layouts.given(config), *filters.given(config)]
    ):
        raise UserError(f"{text[0]}= is for samples and {picture}= makes a picture: leave one of them out")
    others = [*([picture] if picture else []), *(key for key in SETTINGS if config[key] is not None)]
    if config["directions"] is not None and others:
        raise UserError(f"directions= moves the latents of samples as they are: leave {others[0]}= out")
    for key in ("class", "attributes"):
        if picture == "reconstruct" and config[key] is not None:
            raise UserError(f"reconstruct= takes each image with its own class: leave {key}= out")
    meant = [key for key in ("n", *SAMPLING_KEYS) if config[key] is not None]
    meant += [
        *prompts.given(config),
        *tunes.given(config),
        *picture_sources.given(config),
        *layouts.given(config),
        *filters.given(config),
    ]
    if kind in NETWORK and meant:
        raise UserError(f"format={kind} exports the network and draws no samples: leave {meant[0]}= out")
    if kind == "npz" and config["script"]:
        raise UserError("script= is for what people read, and format=npz holds symbols: leave one of them out")
    if kind == "npz" and config["seed"] + (config["n"] or SAMPLES) > SEEDS:
        raise UserError(f"seed={config['seed']}: format=npz holds seeds of 64 bits, up to {SEEDS - 1}: choose a smaller one")
    asked = Path(config["out"] or "").suffix
    if picture:
        suffix = ".gif" if picture == "film" else strip
    else:
        suffix = f".{kind}" if kind != "files" else asked if asked.lower() in FILES else ""
    if config["out"]:
        out = Path(config["out"])
        out = out if out.suffix == suffix else out.with_name(out.name + suffix)
    else:
        name = "network" if kind in NETWORK else picture or "samples"
        name = f"{name}{settings_in_name(config, picture)}" + (f"-seed{config['seed']}" if kind not in NETWORK else "")
        out = run.path / "generated" / (name + suffix)
    if suffix and out.is_dir():
        raise UserError(f"out={out} is a folder: name another file with out=")
    check_writable(out if not suffix else out.parent, "out")
    return out


def settings_in_name(config: dict[str, Any], picture: str) -> str:
    """All settings that differ from the defaults in conf/generate.yaml, as part of a file's name: "8-n4-class3-weights=raw".

    So no other settings write to the same place. The value of the picture's own setting comes first, without its name.
    """
    defaults = dict(leaves(read(CONF / "generate.yaml")))
    named = {key for key in read(CONF / "generate.yaml") if key not in NOT_NAMED}
    own = {key: value for key, value in leaves(config) if key.partition(".")[0] in named}
    changed = {key: value for key, value in own.items() if value != defaults.get(key)}
    first = str(changed.pop(picture, ""))
    texts = {key for key, value in changed.items() if isinstance(value, str) and key != "class"}
    signs = {key: "=" if key in texts or key.startswith("directions.") else "" for key in changed}  # a name may end with digits
    words = [f"{key}{signs[key]}{short(value)}" for key, value in changed.items()]
    return "".join([first, *(f"-{word}" for word in words)]).replace("/", "%2F")


def short(value: Any) -> str:
    """A value for a file's name; a long text, or one of several lines, is cut and gets a digest."""
    text = str(value)
    if len(text) <= LONGEST_WORD and text.isprintable():
        return text
    begin = "".join(character for character in text[: LONGEST_WORD // 2] if character.isprintable())
    return f"{begin}~{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def picture_asked(config: dict[str, Any]) -> str:
    """Which of PICTURES the config asks for, empty for none; UserError for two."""
    asked = [key for key in PICTURES if config[key]]
    if len(asked) > 1:
        raise UserError(f"{asked[0]}= and {asked[1]}= are two pictures: leave one of them out")
    return asked[0] if asked else ""
