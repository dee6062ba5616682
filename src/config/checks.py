"""Checks of plain configs, and the hash of a config that names its run. Nothing here imports torch."""

import math
import os
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from src.config import home  # noqa: F401 (registers ${home:...}, which configs use)
from src.config.errors import UserError, nearest

# Targets that an untrusted config (from a run folder or a checkpoint) may build. A config that the user types may build any.
ALLOWED_TARGETS = (
    *("src.data.", "src.models.", "src.networks.", "src.modalities."),
    *("src.evaluation.images.", "src.evaluation.likelihood.", "src.evaluation.representation.", "src.evaluation.text."),
    *("src.evaluation.music.", "src.evaluation.translation.", "src.evaluation.inpainting.", "src.evaluation.style."),
    "src.evaluation.video.",
    *("src.evaluation.retrieval.", "src.evaluation.text_to_image.", "src.evaluation.layout."),
    *("src.training.ema.", "src.training.schedules.", "torch.optim."),
    *("pytorch_lightning.callbacks.", "pytorch_lightning.loggers."),
)
REFUSED_TARGETS = ("src.data.sources.", "src.data.clients.", "src.data.decoded.")
PACKAGES = "AIGC_PACKAGES"  # an environment variable, not a config key: only the user decides which code may run

SECRET = re.compile(
    r"((api|access|private|secret|wandb)_?key|(^|[._])(secret|password|credentials?)|(^|[.]|api_?|access_?|auth_?|hf_?)token)$",
    re.IGNORECASE,
)
URL_PASSWORD = re.compile(r"://[^/@\s]+:[^/@\s]+@")


NUMBER, POSITIVE, NOT_NEGATIVE, FRACTION = (
    "a number",
    "a number above 0",
    "a number of at least 0",
    "a number from 0 up to but below 1",
)
COUNT, INDEX, SOME = (f"a whole number of at least {least}" for least in (1, 0, 5))  # SOME: metrics need at least 5 samples
COUNTS, FRACTIONS = "a list of whole numbers of at least 1", "a list of two numbers from 0 up to but below 1"
DRAWN = "a whole number from 5 to 100,000"  # more would fill the memory in a validation
TEMPO = "a number from 20 to 400"
PORT = "a whole number from 0 to 65,535"
BOOL, TEXT, NAME, DEVICE = "true or false", "a word", "a word without /", "cpu, mps, cuda or cuda:0"
PATH, PATHS = "a path (a number as ./3)", "a path (a number as ./3) or a list of paths"
CHECKS: dict[str, Callable[[Any], bool]] = {
    NUMBER: lambda v: is_number(v),
    POSITIVE: lambda v: is_number(v) and v > 0,
    NOT_NEGATIVE: lambda v: is_number(v) and v >= 0,
    FRACTION: lambda v: is_number(v) and 0 <= v < 1,
    COUNT: lambda v: is_integer(v) and v >= 1,
    INDEX: lambda v: is_integer(v) and v >= 0,
    SOME: lambda v: is_integer(v) and v >= 5,
    DRAWN: lambda v: CHECKS[SOME](v) and v <= 100_000,
    TEMPO: lambda v: is_number(v) and 20 <= v <= 400,
    PORT: lambda v: is_integer(v) and 0 <= v <= 65_535,
    COUNTS: lambda v: is_list(v) and all(map(CHECKS[COUNT], v)),
    FRACTIONS: lambda v: is_list(v) and len(v) == 2 and all(map(CHECKS[FRACTION], v)),
    BOOL: lambda v: isinstance(v, bool),
    TEXT: lambda v: isinstance(v, str) and bool(v.strip()),
    NAME: lambda v: CHECKS[TEXT](v) and "/" not in v and v not in (".", ".."),
    DEVICE: lambda v: isinstance(v, str) and bool(re.fullmatch(r"cpu|mps|cuda(:\d+)?", v)),
    PATH: lambda v: CHECKS[TEXT](v),
    PATHS: lambda v: CHECKS[PATH](v) or (is_list(v) and all(map(CHECKS[PATH], v))),
}

# Settings of the commands, by full key.
KEYS = {
    **dict.fromkeys(("name", "data.name"), NAME),
    **dict.fromkeys(("baseline", "host"), TEXT),
    "port": PORT,
    "evaluation.device": DEVICE,
    **dict.fromkeys(("paths.data", "paths.runs", "paths.cache", "data.path", "data.path_b"), PATH),
    **dict.fromkeys(("evaluation.weights", "evaluation.clip"), PATH),
    **dict.fromkeys(("run", "run_dir", "extend", "publish", "published", "out", "output", "readme", "results", "store"), PATH),
    **dict.fromkeys(("table", "json", "curves", "metrics"), PATH),
    "runs": PATHS,
    **dict.fromkeys(("fresh", "evaluate", "flagship", "quick", "film", "open", "chat", "rhyme", "parallels"), BOOL),
    **dict.fromkeys(("prompt", "source", "mask", "heads", "form", "key", "melody", "from", "to", "lyrics", "attribute"), TEXT),
    **dict.fromkeys(("attributes", "data.style", "filter.prompt", "layout"), TEXT),
    **dict.fromkeys(("filter.words", "filter.clip"), PATH),
    "filter.threshold": NUMBER,
    "tempo": TEMPO,
    **dict.fromkeys(("trainer.channels_last", "trainer.sync_batchnorm", "trainer.deterministic"), BOOL),
    **dict.fromkeys(
        ("seed", "start", "interpolate", "reconstruct", "traverse", "data.workers", "evaluation.seed", "samples.per_decade"),
        INDEX,
    ),
    **dict.fromkeys(
        (
            "steps",
            "n",
            "rows",
            "pairs",
            "latents",
            "most",
            "samples.n",
            "epochs",
            "data.batch_size",
            "side",
            "checkpoint.keep",
            "bars",
        ),
        COUNT,
    ),
    **dict.fromkeys(("log.every", "validation.every", "checkpoint.every"), COUNT),
    **dict.fromkeys(("trainer.threads", "trainer.block", "trainer.profile"), COUNT),
    **dict.fromkeys(("stop.epochs", "stop.samples", "stop.minutes"), POSITIVE),
    **dict.fromkeys(("stop.target", "strength"), NUMBER),
    "truncation": NOT_NEGATIVE,
    "temperature": POSITIVE,
    "top_k": COUNT,
    "top_p": POSITIVE,
    "nfe": COUNT,
    "guidance": NOT_NEGATIVE,
    **dict.fromkeys(("data.size", "data.crop"), COUNT),
    **dict.fromkeys(("data.channels", "data.source_channels", "data.vocabulary"), COUNT),
    "data.max_broken": FRACTION,
    "validation.samples": DRAWN,
    "evaluation.samples": SOME,
    **dict.fromkeys(("trials", "workers", "startup", "prune_from", "reduction"), COUNT),
    "confirm": INDEX,
}
# Arguments of our own classes and of torch's optimizers, by name: a name means the same in every class.
ARGUMENTS = {
    **dict.fromkeys(("conditional", "auxiliary", "batch_norm", "spectral_norm"), BOOL),
    **dict.fromkeys(("z_dim", "d_steps", "every", "width", "size", "crop"), COUNT),
    **dict.fromkeys(("groups", "heads", "layers", "length", "training", "validation_samples"), COUNT),
    **dict.fromkeys(("importance_samples", "likelihood_samples", "likelihood_steps", "mixtures"), COUNT),
    **dict.fromkeys(("copies", "blocks", "mixture"), INDEX),
    **dict.fromkeys(("widths", "multipliers"), COUNTS),
    "lr": POSITIVE,
    "betas": FRACTIONS,
    **dict.fromkeys(("dropout", "condition_dropout", "decay", "max_broken"), FRACTION),
    **dict.fromkeys(("weight", "weight_decay", "half_life", "ramp_up", "slope", "beta", "free_bits"), NOT_NEGATIVE),
    **dict.fromkeys(("temperature", "sigma_data", "sigma_min", "sigma_max", "log_sigma_std", "rho"), POSITIVE),
    "guidance": NOT_NEGATIVE,
    "pixels": INDEX,
    "limit": POSITIVE,
}
OWN = ("src.", "torch.optim.")  # targets whose arguments are checked
CHOICES = {
    "logger.wandb.mode": ("offline", "online", "disabled"),
    "trainer.accelerator": ("auto", "cpu", "gpu", "cuda", "mps"),
    "trainer.strategy": ("auto", "ddp", "fsdp"),
    "trainer.matmul_precision": ("highest", "high", "medium", "auto"),
    "trainer.precision": ("32-true", "64-true", "bf16-mixed"),
    "evaluation.extractor": (
        *("digits", "fashion", "stacked_digits", "points", "efficientnet-lite0"),
        *("inception-v3-compat", "clip-vit-b-32", "dinov2-vit-b-14"),
    ),
    "evaluation.split": ("train", "validation", "test"),
    **dict.fromkeys(("data.channels", "data.source_channels"), (1, 3)),
    "on_change": ("refuse", "accept", "restart"),
    "on_divergence": ("fail", "record"),
    "format": ("files", "npz", "safetensors", "onnx"),
    "weights": ("ema", "raw"),
    "direction": ("forward", "backward"),
    "solver": ("euler", "heun", "multistep"),
    "script": ("simplified", "traditional"),
    "synth": ("own", "fluidsynth"),
    "data.encoding": ("characters", "bpe"),
    "checkpoint": ("best", "last"),
    "sampler": ("tpe", "random"),
    "films": ("beside", "inline", "none"),
    "figures": ("pdf", "svg"),
    "pruner": ("asha", "median", "none"),
}
# Keys that may be null. A name that ends with a dot stands for all keys of that section.
NULLABLE = (
    *("stop.", "trainer.threads", "trainer.profile", "evaluation.extractor", "evaluation.weights", "evaluation.device"),
    "evaluation.clip",
    *("truncation", "side", "temperature", "top_k", "top_p", "nfe", "solver", "guidance", "direction"),
    *("prompt", "source", "mask", "heads", "form", "script", "tempo", "key", "bars", "melody", "from", "to", "lyrics"),
    *("layout", "attribute", "attributes", "directions", "strength"),
    *("filter.words", "filter.clip", "filter.prompt", "filter.own"),
    *("run_dir", "extend", "publish", "out", "store", "baseline", "table", "json", "curves", "metrics", "figures"),
)


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def is_list(value: object) -> bool:
    return isinstance(value, list) and bool(value)


def plain(config: DictConfig) -> dict[str, Any]:
    """The resolved config as plain containers; a ~ at the start of a value is the user's home."""
    return with_home(OmegaConf.to_container(config, resolve=True, throw_on_missing=True))


def with_home(value: Any) -> Any:
    """A value with `~` and `~/...` expanded, in mappings and lists too."""
    if isinstance(value, dict):
        return {key: with_home(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [with_home(entry) for entry in value]
    return os.path.expanduser(value) if isinstance(value, str) and (value == "~" or value.startswith("~/")) else value


def leaves(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted key, value) of every leaf of a plain config; a list is a leaf."""
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def entries(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted key, value) of every node of a plain config: mappings, lists and leaves."""
    if key:
        yield key, value
    parts = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for name, entry in parts:
        yield from entries(entry, f"{key}.{name}" if key else str(name))


def validate(config: Mapping[str, Any], nullable: tuple[str, ...] = (), trusted: bool = True) -> None:
    """Raise UserError for the first invalid value of a plain config; the message names its key and what it must be.

    nullable: more keys that may be null, as in NULLABLE. trusted: False also refuses targets that are not allowed.
    """
    for key, value in entries(config):
        if key.rpartition(".")[2] == "_target_":
            check_target(key, value, trusted)
        check_secret(key, value)
        if isinstance(value, str) and "${" in value:
            raise UserError(f"{key} is not resolved: write the value itself")
    own = arguments(config)
    for key, value in leaves(config):
        may_be_null = not {key, key.partition(".")[0] + "."}.isdisjoint(NULLABLE + nullable)
        if value is None and may_be_null:
            continue
        if key in CHOICES and (isinstance(value, bool) or value not in CHOICES[key]):
            named = "null" if value is None else str(value)
            raise UserError(f"{key}={named} is not known: {nearest(named, map(str, CHOICES[key]))}")
        wanted = KEYS.get(key) or own.get(key)
        if wanted and not CHECKS[wanted](value):
            shown = "null" if value is None else repr(value)
            raise UserError(f"{key}={shown}: must be {wanted}{' or null' if may_be_null else ''}")


def arguments(config: Mapping[str, Any]) -> dict[str, str]:
    """Dotted key -> key of CHECKS, for the arguments of our own classes in a config."""
    found: dict[str, str] = {}
    for key, value in entries(config):
        if isinstance(value, Mapping) and str(value.get("_target_", "")).startswith(OWN):
            found |= {f"{key}.{name}": ARGUMENTS[name] for name in value if name in ARGUMENTS}
    return found


def check_target(key: str, target: object, trusted: bool = True) -> None:
    """Raise UserError for a `_target_` that is not a dotted name, or that an untrusted config may not build.

    With more targets, the author of such a config could run any code.
    """
    parts = target.split(".") if isinstance(target, str) else [""]
    public = all(part.isidentifier() and not part.startswith("_") for part in parts)
    if trusted and public and len(parts) > 1:
        return
    allowed = (*ALLOWED_TARGETS, *(f"{package}." for package in user_packages()))
    if trusted or not public or not str(target).startswith(allowed) or str(target).startswith(REFUSED_TARGETS):
        packages = ", ".join(package.rstrip(".") for package in allowed)
        raise UserError(
            f"{key}={target!r} is not allowed: a _target_ must be a public class or function of {packages} "
            f"(your own package: {PACKAGES}=its_name in the environment)"
            if not trusted
            else f"{key}={target!r}: must be the dotted name of a class or function, such as src.data.mnist.MNIST"
        )


def user_packages() -> list[str]:
    """The user's own packages that untrusted configs may name: $AIGC_PACKAGES, separated by commas."""
    return [name for name in map(str.strip, os.environ.get(PACKAGES, "").split(",")) if name.isidentifier() and name != "src"]


def check_secret(key: str, value: object) -> None:
    """Raise UserError, without the value, for a password or an API key: configs are copied into run folders and to W&B."""
    if (SECRET.search(key) and value) or (isinstance(value, str) and URL_PASSWORD.search(value)):
        raise UserError(f"{key} holds a secret, which would be written into files: use `wandb login` or the environment")
