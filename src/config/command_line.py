"""Run a command: compose and check its config, call its task, turn errors into exit codes. The checks do not import torch.

Exit codes: 0 success; 2 an error that the user can fix (one line says how); 1 a bug, with its traceback; 130 Ctrl-C;
143 SIGTERM.
"""

import os
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import hydra
import yaml
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    MissingConfigException,
    OverrideParseException,
)
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from src.config.checks import check_secret, entries, plain, validate
from src.config.errors import Interrupted, UserError, nearest, suggestions
from src.config.help import help_text
from src.config.structure import check_structure
from src.parallel import launch
from src.system.files import NO_ROOM

SPIN_COUNT = "5000"  # of libgomp, see benchmarks/NOTES.md
CONF = str(Path(__file__).parents[2] / "conf")
# Command -> keys whose values are text, with all signs that mean something to Hydra.
LITERAL = {
    "generate": (
        *("class", "attributes", "prompt", "source", "mask", "heads", "form", "key", "melody", "from", "to", "lyrics"),
        *("layout", "filter.words", "filter.prompt"),
    ),
    "play": ("filter.words", "filter.prompt"),
}
# Command -> section that takes settings which only the run's own config lists; the suite refuses those that it does not know.
OPEN = {"evaluate": "evaluation."}
WITH_VALUE = ("--config-dir", "-cd", "--config-path", "-cp", "--config-name", "-cn", "--cfg", "-c", "--package", "-p")
NO_NAME = re.compile(r"null|true|false|[-+]?[\d.]+|\[\s*\]|\{.*\}", re.IGNORECASE)  # values that cannot name a config


def run(config_name: str, task: Callable[[dict[str, Any]], object], nullable: tuple[str, ...] = ()) -> NoReturn:
    """Compose `conf/<config_name>.yaml` with the command line's overrides, check it, call `task` with it, and exit."""
    open_standard_streams()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then passes exceptions on

    # OpenMP's threads must not spin for long while they wait: several trainings may share few cores. Set before torch's import.
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys():
        os.environ["GOMP_SPINCOUNT"] = SPIN_COUNT

    codes, here = [0], os.getpid()

    def checked(config: DictConfig) -> None:
        """Run one job. With several (-m), a failed one does not stop the others."""
        try:
            check_structure(config_name, OmegaConf.to_container(config), config_dir())  # type: ignore[arg-type]
            values = plain(config)
            validate(values, nullable)
            if launch.launched() and sweeping():
                raise UserError("every process of the launcher would run the whole sweep: leave torchrun or srun out, or -m")
            task(values)
        except Exception as error:
            if os.getpid() != here:  # a Hydra launcher's process, with a copy of `codes`: Hydra re-raises its error here
                raise
            codes.append(report_error(error, config_name))
        except SystemExit as leaving:  # would end the other jobs too
            if os.getpid() != here or not sweeping():
                raise
            print(f"error: this job called sys.exit({leaving.code})", file=sys.stderr)
            codes.append(1)

    try:
        for word in sys.argv[1:]:  # before Hydra: with -m it writes the command line to a file
            if word.partition("=")[0] in LITERAL.get(config_name, ()):
                continue
            for key in re.findall(r"([\w.]+)\s*[=:]", word):
                check_secret(key, word)
        sys.argv[1:] = options_first(sys.argv[1:])
        check_groups(sys.argv[1:])
        if {"--help", "-h"} & set(sys.argv[1:]):
            show_help(config_name)
            sys.exit()
        sys.argv[1:] = [quoted(word, config_name) for word in sys.argv[1:]]
        if launch.launched() and config_name != "train":
            raise UserError("torchrun and srun are for python -m src.train: leave them out here")
        hydra.main(version_base="1.3", config_path=CONF, config_name=config_name)(checked)()
    except (KeyboardInterrupt, Interrupted) as stop:
        sys.exit(getattr(stop, "exit_code", 130))
    except Exception as error:
        codes.append(report_error(error, config_name))
    sys.exit(max(codes, key=[0, 2, 1].index))


def quoted(word: str, config_name: str) -> str:
    """A word key=value of a command line as Hydra reads it.

    In quotes, if the key is LITERAL and the value not null or in quotes; with ++, which adds a key, if its section is OPEN.
    """
    key, sign, value = word.partition("=")
    if sign and config_name in OPEN and key.startswith(OPEN[config_name]):
        return f"++{word}"
    if not sign or key not in LITERAL.get(config_name, ()) or value == "null" or re.fullmatch(r"""'[^']*'|"[^"]*\"""", value):
        return word
    # Within quotes, backslashes count only before a quote: \\ is a backslash, \' is the quote.
    escaped = re.sub(r"(\\*)'", r"\1\1\\'", value)
    ending = escaped[len(escaped.rstrip("\\")) :]
    return f"{key}='{escaped}{ending}'"


def options_first(words: Sequence[str]) -> list[str]:
    """A command line with Hydra's options before the settings: its parser refuses settings on both sides of an option."""
    options: list[str] = []
    settings: list[str] = []
    rest = list(words)
    if {"--info", "-i"} & set(rest):  # may have a value or not
        return rest
    while rest:
        word = rest.pop(0)
        (options if word.startswith("-") else settings).append(word)
        if word in WITH_VALUE and rest:
            options.append(rest.pop(0))
    return options + settings


def show_help(config_name: str) -> None:
    """Print every setting of a command, with the config groups that the command line chooses."""
    words = sys.argv[1:]
    while words and words[0].startswith("-"):
        words = words[2 if words[0] in WITH_VALUE else 1 :]
    config: dict[str, Any] = OmegaConf.to_container(composed(config_name, words, return_hydra_config=True))  # type: ignore[assignment]
    choices = config.pop("hydra")["runtime"]["choices"]
    print(help_text(config_name, config, choices, groups()))


def open_standard_streams() -> None:
    """Give a process that was started without stdin, stdout or stderr (>&-, some daemons) the null device in their place."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
            assert null == number
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r+"))  # noqa: SIM115 (for the life of the process)


def sweeping() -> bool:
    return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN


def report_error(error: Exception, config_name: str) -> int:
    """Print one line for an error that the user can fix, else the traceback. Returns the exit code."""
    if launch.launched():
        return launch.report(error)
    line = explain(error, config_name)
    if line is None:
        traceback.print_exception(error)
        return 1
    print(f"error: {line}", file=sys.stderr)
    return 2


def output_closed() -> bool:
    """Whether the reader of stdout has closed it (`| head`). If so, further output goes to /dev/null."""
    try:
        print(flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return True
    return False


def compose(config_name: str, words: Sequence[str]) -> dict[str, Any]:
    """The plain, checked config of another command line, which this command will start; raises UserError."""
    try:
        check_groups(words)
        found = composed(config_name, words)
        check_structure(config_name, OmegaConf.to_container(found), config_dir())  # type: ignore[arg-type]
        config = plain(found)
        validate(config)
    except Exception as error:
        if (line := explain(error, config_name, words)) is None:
            raise
        raise UserError(line) from error
    return config


def composed(config_name: str, words: Sequence[str], **options: Any) -> DictConfig:
    """Hydra's config for another command line; the user's --config-dir counts there too."""
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(CONF, version_base="1.3"):
        return hydra.compose(config_name, [*search_path(), *(quoted(word, config_name) for word in words)], **options)


def config_dir() -> str | None:
    """The user's own folder of configs (--config-dir), absolute, or None. Commands started by this one get it too."""
    found = re.search(r"(?:^|\0)(?:--config-dir|-cd)[=\0]([^\0]+)", "\0".join(sys.argv[1:]))
    return found and str(Path(found.group(1)).absolute())


def search_path() -> list[str]:
    folder = (config_dir() or "").replace("'", r"\'")
    return [f"hydra.searchpath=['file://{folder}']"] if folder else []


def groups() -> dict[str, list[str]]:
    """Config group -> names of its configs, ours and the user's."""
    found: dict[str, list[str]] = {}
    for path in (path for root in {CONF, config_dir() or CONF} for path in Path(root).glob("*/*.yaml")):
        found.setdefault(path.parent.name, []).append(path.stem)
    return found


def check_groups(words: Sequence[str]) -> None:
    """Raise UserError for a config group whose value is not a name: Hydra's own error would not be clear."""
    for word in words:
        name, _, value = word.lstrip("+").partition("=")
        wrong = [part for part in (value, *value.split(",")) if NO_NAME.fullmatch(part.strip())]  # several with -m
        if wrong and (known := groups().get(name)):
            raise UserError(f"{word}: {name} takes the name of a config: {nearest(wrong[0], known)}")


def explain(error: BaseException, config_name: str, words: Sequence[str] | None = None) -> str | None:
    """One line with the remedy for an error that the user can fix, None for any other."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, BrokenPipeError) and output_closed():
        return "the output was closed by its reader: repeat the command without closing its pipe, it goes on"
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        return f"no room left to write {error.filename or 'a file'} ({error.strerror}): make some, and repeat the command"
    if isinstance(error, MissingConfigException) and error.options is not None:
        group, _, name = (error.missing_cfg_file or "").rpartition("/")
        return f"there is no {group}={name}: {nearest(name, error.options)}"
    if isinstance(error, OverrideParseException):
        return f"cannot read {error.override!r} as key=value; special signs in a value take two pairs of quotes: key=\"'...'\""
    if isinstance(error, ConfigCompositionException | OmegaConfBaseException):
        return explain_key(error, config_name, sys.argv[1:] if words is None else words)
    if isinstance(error, HydraException):
        return first_line(error)
    if isinstance(error, yaml.YAMLError):
        return f"a config is no YAML: {' '.join(str(error).split())}"
    if isinstance(error, RuntimeError) and "srun" in str(error):  # submitit's
        return "hydra/launcher=slurm needs SLURM (there is no srun here): start it on a cluster's login node"
    return None


def explain_key(error: Exception, config_name: str, words: Sequence[str]) -> str:
    """Name the key that an override or the config got wrong, with the nearest keys that exist."""
    text = f"{error}\n{error.__cause__ or ''}"
    if missing := re.search(r"Missing mandatory value: (\S+)", text):
        key = (re.search(r"full_key: (\S+)", text) or missing).group(1)
        return f"say which {key}: {key}=..."
    if text.startswith("Ambiguous value"):
        return f"{first_line(error)}: several values, one run for each, take -m; a list is written [...]"
    unknown = re.search(r"Could not override '([^']+)'", text) or re.search(r"full_key: (\S+)", text)
    if unknown is None:
        return first_line(error)
    key = unknown.group(1)
    if "No match in the defaults list" in text and key in groups() and config_name != "train":
        word = next((word for word in words if word.startswith(f"{key}=")), f"{key}=...")
        single = f"; single settings can be changed, {key}.<name>=..." if key == "evaluation" else ""
        return f"{word}: {config_name} takes the {key} that the run was trained with: leave it out{single}"
    try:
        known = known_keys(config_name, words)
    except (HydraException, OmegaConfBaseException):  # a config file itself is wrong
        return first_line(error)
    if key in known:  # it refers to a key that does not exist
        return f"{key}: {first_line(error)}"
    return f"there is no setting {key!r}: {suggestions(key, known, [*known, *groups()])}"


def known_keys(config_name: str, words: Sequence[str]) -> list[str]:
    """Every key and section of the config, with the config groups that a command line chooses."""
    chosen = [word for word in words if "=" in word and word.split("=")[0].lstrip("+") in groups()]
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(CONF, version_base="1.3"):
        config = hydra.compose(config_name, overrides=[*search_path(), *chosen])
    return [key for key, _ in entries(OmegaConf.to_container(config))]


def first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return " ".join(lines[:2] if lines[0].endswith(":") else lines[:1])
