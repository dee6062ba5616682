"""Configs as plain values: what may be in one, what a run is named after. Nothing here imports torch."""

import hashlib
import json
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from src.config.errors import UserError, nearest

# What a config may build with. The rest of src reads and writes files, asks servers and starts programs.
ALLOWED_TARGETS = ("src.data.", "src.models.", "src.networks.", "src.training.ema.", "src.training.schedules.", "torch.optim.")
REFUSED_TARGETS = ("src.data.sources.", "src.data.clients.", "src.data.decoded.")
PACKAGES = "AIGC_PACKAGES"  # the environment's word, never a config's: what may run is for the user to say

SECRET = re.compile(r"((api|access|private|secret|wandb)_?key|(^|[._])(secret|token|password|credentials?))$", re.IGNORECASE)
URL_PASSWORD = re.compile(r"://[^/@\s]+:[^/@\s]+@")

# Settings that say where and how a run is watched, not what it computes: they stay out of its identity.
NOT_IDENTITY = re.compile(
    r"(paths|logger|checkpoint|run_dir|devices|fresh|on_change|on_divergence|evaluate|publish|data\.workers)(\.|$)|trainer\.(?!precision$)"
)

POSITIVE, NOT_NEGATIVE, FRACTION = "a number above 0", "a number of at least 0", "a number from 0 up to but below 1"
COUNT, INDEX, SOME = (f"a whole number of at least {least}" for least in (1, 0, 5))  # SOME: with fewer no metric is defined
COUNTS, FRACTIONS = "a list of whole numbers of at least 1", "a list of two numbers from 0 up to but below 1"
DRAWN = "a whole number from 5 to 100,000"  # with more a validation would fill the memory
BOOL, TEXT, NAME = "true or false", "a word", "a word without /"
PATH, PATHS = "a path (a number as ./3)", "a path (a number as ./3) or a list of paths"
CHECKS: dict[str, Callable[[Any], bool]] = {
    POSITIVE: lambda v: is_number(v) and v > 0,
    NOT_NEGATIVE: lambda v: is_number(v) and v >= 0,
    FRACTION: lambda v: is_number(v) and 0 <= v < 1,
    COUNT: lambda v: is_whole(v) and v >= 1,
    INDEX: lambda v: is_whole(v) and v >= 0,
    SOME: lambda v: is_whole(v) and v >= 5,
    DRAWN: lambda v: CHECKS[SOME](v) and v <= 100_000,
    COUNTS: lambda v: is_list(v) and all(map(CHECKS[COUNT], v)),
    FRACTIONS: lambda v: is_list(v) and len(v) == 2 and all(map(CHECKS[FRACTION], v)),
    BOOL: lambda v: isinstance(v, bool),
    TEXT: lambda v: isinstance(v, str) and bool(v.strip()),
    NAME: lambda v: CHECKS[TEXT](v) and "/" not in v and v not in (".", ".."),
    PATH: lambda v: CHECKS[TEXT](v),
    PATHS: lambda v: CHECKS[PATH](v) or (is_list(v) and all(map(CHECKS[PATH], v))),
}

# By the whole key: names, places, switches.
KEYS = {
    "name": NAME,
    "data.name": NAME,
    "baseline": TEXT,
    **dict.fromkeys(("paths.data", "paths.runs", "paths.cache", "data.path", "evaluation.weights"), PATH),
    **dict.fromkeys(("run", "run_dir", "publish", "published", "out", "output", "readme", "results", "store"), PATH),
    **dict.fromkeys(("table", "json", "curves", "metrics"), PATH),
    "runs": PATHS,
    "epochs": COUNT,
    **dict.fromkeys(("fresh", "evaluate", "quick", "films"), BOOL),
    "validation.samples": DRAWN,
    "evaluation.samples": SOME,
}
# By the last part of a key, which means the same thing wherever it stands.
RANGES = {
    **dict.fromkeys(("channels_last", "sync_batchnorm", "conditional", "auxiliary", "batch_norm", "spectral_norm"), BOOL),
    "seed": INDEX,
    "start": INDEX,
    "steps": COUNT,
    "batch_size": COUNT,
    "workers": INDEX,
    "z_dim": COUNT,
    "widths": COUNTS,
    "d_steps": COUNT,
    "every": COUNT,
    "n": COUNT,
    "threads": COUNT,
    "block": COUNT,
    "profile": COUNT,
    "keep": COUNT,
    "accumulate": COUNT,
    "columns": COUNT,
    "interpolate": INDEX,
    "per_decade": INDEX,
    "lr": POSITIVE,
    "betas": FRACTIONS,
    "dropout": FRACTION,
    "weight": NOT_NEGATIVE,
    "half_life": NOT_NEGATIVE,
    "ramp_up": NOT_NEGATIVE,
    "slope": NOT_NEGATIVE,
    "pixels": INDEX,
    "epochs": POSITIVE,
    "images": POSITIVE,
    "minutes": POSITIVE,
    "distance": POSITIVE,
    "truncation": NOT_NEGATIVE,
    "side": COUNT,
    "limit": POSITIVE,
    "decay": FRACTION,
    "width": COUNT,
    "size": COUNT,
    "crop": COUNT,
    "max_broken": FRACTION,
    "trials": COUNT,
    "confirm": INDEX,
    "startup": INDEX,
    "prune_from": COUNT,
    "reduction": COUNT,
}
CHOICES = {
    "logger.mode": ("offline", "online", "disabled"),
    "trainer.accelerator": ("auto", "cpu", "gpu", "cuda", "mps"),
    "trainer.strategy": ("auto", "ddp", "fsdp"),
    "trainer.matmul_precision": ("highest", "high", "medium", "auto"),
    "trainer.precision": ("32-true", "64-true", "bf16-mixed"),
    "evaluation.extractor": (
        *("digits", "fashion", "stacked_digits", "points", "efficientnet-lite0"),
        *("inception-v3-compat", "clip-vit-b-32", "dinov2-vit-b-14"),
    ),
    "evaluation.split": ("train", "validation", "test"),
    "data.channels": (1, 3),
    "on_change": ("refuse", "accept", "restart"),
    "on_divergence": ("fail", "record"),
    "format": ("png", "npz", "safetensors", "onnx"),
    "weights": ("ema", "raw"),
    "checkpoint": ("best", "last"),
    "sampler": ("tpe", "random"),
    "pruner": ("asha", "median", "none"),
}
# What a GAN is built of; of terms there may be several.
PARTS = (
    *("generator", "discriminator", "g_optimizer", "d_optimizer"),
    *("constrain", "augment", "ema", "lr_schedule", "beta2_schedule"),
)
TERMS = ("penalties", "g_penalties")
# Keys that may be null, and sections (with a dot) all of whose keys may.
NULLABLE = (
    *("stop.", "trainer.threads", "trainer.profile", "evaluation.weights", "truncation", "side"),
    *("run_dir", "publish", "out", "store", "baseline", "table", "json", "curves", "metrics"),
)


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def is_list(value: object) -> bool:
    return isinstance(value, list) and bool(value)


def plain(config: DictConfig) -> dict[str, Any]:
    """The resolved config as plain containers."""
    return OmegaConf.to_container(config, resolve=True, throw_on_missing=True)  # type: ignore[return-value]


def leaves(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted key, value) of every leaf of a plain config; a list is a leaf."""
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def entries(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted key, value) of everything in a plain config, whole mappings and lists included."""
    if key:
        yield key, value
    parts = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for name, entry in parts:
        yield from entries(entry, f"{key}.{name}" if key else str(name))


def validate(config: Mapping[str, Any], nullable: tuple[str, ...] = ()) -> None:
    """Raise UserError for the first value of a plain config that cannot work, naming its key and what it must be.

    The config may come from elsewhere: what could run code or give away what this machine knows is refused as well.
    """
    for key, value in entries(config):
        if key.rpartition(".")[2] == "_target_":
            check_target(key, value)
        check_secret(key, value)
        if isinstance(value, str) and "${" in value:
            raise UserError(f"{key} is not resolved: write the value itself")
    check_parts(config.get("model") or {})
    for key, value in leaves(config):
        may_be_null = not {key, key.partition(".")[0] + "."}.isdisjoint(NULLABLE + nullable)
        if value is None and may_be_null:
            continue
        if key in CHOICES and (isinstance(value, bool) or value not in CHOICES[key]):
            named = "null" if value is None else str(value)
            raise UserError(f"{key}={named} is not known: {nearest(named, map(str, CHOICES[key]))}")
        wanted = KEYS.get(key) or RANGES.get(key.rpartition(".")[2])
        if wanted and not CHECKS[wanted](value):
            shown = "null" if value is None else repr(value)
            raise UserError(f"{key}={shown}: must be {wanted}{' or null' if may_be_null else ''}")


def check_parts(model: Mapping[str, Any]) -> None:
    """Raise UserError for a part of a GAN that is a word or a number where it takes settings of its own."""
    if model.get("_target_") != "src.models.gan.gan.GAN":
        return
    parts = {name: model.get(name) for name in (*PARTS, *TERMS)}
    for name in TERMS:
        if isinstance(terms := parts[name], Mapping):
            parts |= {f"{name}.{key}": term for key, term in terms.items()}
    for key, part in parts.items():
        if part is not None and not isinstance(part, Mapping):
            raise UserError(f"model.{key}={part!r}: must be null or settings with a _target_, such as those in conf/model")


def check_target(key: str, target: object) -> None:
    """Configs may name public parts of our own code and optimizers; more could run what the author of a config likes."""
    parts = target.split(".") if isinstance(target, str) else [""]
    public = all(part.isidentifier() and not part.startswith("_") for part in parts)
    allowed = (*ALLOWED_TARGETS, *(f"{package}." for package in user_packages()))
    if not public or not str(target).startswith(allowed) or str(target).startswith(REFUSED_TARGETS):
        packages = ", ".join(package.rstrip(".") for package in allowed)
        raise UserError(
            f"{key}={target!r} is not allowed: a _target_ must be a public class or function of {packages} "
            f"(your own package: {PACKAGES}=its_name in the environment)"
        )


def check_extractor(evaluation: Mapping[str, Any], shape: Sequence[int]) -> None:
    """Raise UserError where samples of this shape cannot be measured as a config's `evaluation` says."""
    name, weights = evaluation["extractor"], evaluation["weights"]
    if (name == "points") != (len(shape) == 1) or (name == "stacked_digits" and shape[0] != 3):
        raise UserError(f"evaluation.extractor={name} cannot measure samples of shape {list(shape)}: pick another extractor")
    if weights is not None and not Path(weights).is_file():
        raise UserError(f"evaluation.weights={weights} is no file: give the path of an existing one, or leave it null")


def user_packages() -> list[str]:
    """The user's own packages that configs may name, separated by commas in the environment."""
    return [name for name in map(str.strip, os.environ.get(PACKAGES, "").split(",")) if name.isidentifier() and name != "src"]


def check_secret(key: str, value: object) -> None:
    """Configs are copied into run folders and to W&B: raise UserError, without the value, for a password or a key in one."""
    if (SECRET.search(key) and value) or (isinstance(value, str) and URL_PASSWORD.search(value)):
        raise UserError(f"{key} holds a secret, which would be written into files: use `wandb login` or the environment")


def with_data_in(folder: str | None, config: Mapping[str, Any]) -> dict[str, Any]:
    """A config whose data are in another folder than `paths.data`; None leaves them there."""
    if folder is None or "paths" not in config:
        return dict(config)
    before = f"{config['paths']['data']}/"

    def moved(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: moved(entry) for key, entry in value.items()}
        inside = isinstance(value, str) and value.startswith(before)
        return f"{folder}/{value.removeprefix(before)}" if inside else value

    return moved(config) | {"paths": {**config["paths"], "data": folder}}


def identity(config: Mapping[str, Any]) -> dict[str, Any]:
    """The leaves that decide what a run computes; wherever the data are, they count as in `data`."""
    return {key: value for key, value in leaves(with_data_in("data", config)) if not NOT_IDENTITY.match(key)}


def short_hash(config: Mapping[str, Any]) -> str:
    """Eight hex digits that name a config, the same for all seeds."""
    named = {key: value for key, value in identity(config).items() if key != "seed"}
    return hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()[:8]


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What identity leaves differ, as "key: old -> new"."""
    before, after = identity(old), identity(new)
    keys = sorted(before.keys() | after.keys())
    return [f"{k}: {before.get(k)} -> {after.get(k)}" for k in keys if before.get(k) != after.get(k)]
