"""From the command line to a task and back to an exit code; what can be wrong is said before torch is imported.

Exit codes: 0 done; 2 the user can mend it (one line says how); 1 a fault of ours, with the traceback; 130 Ctrl-C; 143 SIGTERM.
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

from src.config.checks import check_secret, leaves, plain, validate
from src.config.errors import Interrupted, UserError, nearest
from src.parallel import launch

SPIN_COUNT = "5000"  # of libgomp, see benchmarks/NOTES.md
CONF = str(Path(__file__).parents[2] / "conf")
NO_NAME = re.compile(r"null|true|false|[-+]?[\d.]+|\[\s*\]|\{.*\}", re.IGNORECASE)  # values that are no config's name


def run(config_name: str, task: Callable[[dict[str, Any]], object], nullable: tuple[str, ...] = ()) -> NoReturn:
    """Compose `conf/<config_name>.yaml` with the command line's overrides, check it, call `task` with it, and exit."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then lets exceptions through to us

    # Several trainings on few cores: OpenMP's threads are not to spin for long while they wait. Before torch is imported.
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys():
        os.environ["GOMP_SPINCOUNT"] = SPIN_COUNT

    codes, here = [0], os.getpid()

    def checked(config: DictConfig) -> None:
        """One job; of several (-m) a failed one does not stop the rest."""
        try:
            values = plain(config)
            validate(values, nullable)
            if launch.launched() and sweeping():
                raise UserError("every process of the launcher would run the whole sweep: leave torchrun or srun out, or -m")
            task(values)
        except Exception as error:
            if os.getpid() != here:  # a launcher's process, with a copy of our codes: Hydra brings the error back to us
                raise
            codes.append(answer(error, config_name))
        except SystemExit as leaving:  # which would end the others too, with its own exit code
            if os.getpid() != here or not sweeping():
                raise
            print(f"error: this one has left by sys.exit({leaving.code})", file=sys.stderr)
            codes.append(1)

    try:
        for word in sys.argv[1:]:  # before Hydra, which keeps a file of what it is told with -m
            for key in re.findall(r"([\w.]+)\s*[=:]", word):
                check_secret(key, word)
        check_groups(sys.argv[1:])
        if launch.launched() and config_name != "train":
            raise UserError("torchrun and srun are for python -m src.train: leave them out here")
        hydra.main(version_base="1.3", config_path=CONF, config_name=config_name)(checked)()
    except (KeyboardInterrupt, Interrupted) as stop:
        sys.exit(getattr(stop, "exit_code", 130))
    except Exception as error:
        codes.append(answer(error, config_name))
    sys.exit(max(codes, key=[0, 2, 1].index))


def sweeping() -> bool:
    return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN


def answer(error: Exception, config_name: str) -> int:
    """Print one line, or the traceback where the fault is ours; the exit code."""
    if launch.launched():
        return launch.report(error)
    line = explain(error, config_name)
    if line is None:
        traceback.print_exception(error)
        return 1
    print(f"error: {line}", file=sys.stderr)
    return 2


def output_closed() -> bool:
    """Whether nobody reads what this process prints any more (`| head`); then it is no longer printed."""
    try:
        print(flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return True
    return False


def compose(config_name: str, words: Sequence[str]) -> dict[str, Any]:
    """The plain, checked config of another command line, for a command that starts such commands; raises UserError."""
    try:
        check_groups(words)
        config = plain(composed(config_name, words))
        validate(config)
    except Exception as error:
        if (line := explain(error, config_name, words)) is None:
            raise
        raise UserError(line) from error
    return config


def composed(config_name: str, words: Sequence[str], **options: Any) -> DictConfig:
    """What Hydra makes of another command line, the user's own configs included."""
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(CONF, version_base="1.3"):
        return hydra.compose(config_name, [*search_path(), *words], **options)


def config_dir() -> str | None:
    """The folder of configs that the user has beside ours (--config-dir): commands that a command starts get it too."""
    found = re.search(r"(?:^|\0)(?:--config-dir|-cd)[=\0]([^\0]+)", "\0".join(sys.argv[1:]))
    return found and str(Path(found.group(1)).absolute())


def search_path() -> list[str]:
    folder = (config_dir() or "").replace("'", r"\'")
    return [f"hydra.searchpath=['file://{folder}']"] if folder else []


def groups() -> dict[str, list[str]]:
    """The config groups, ours and the user's, with the names of their configs."""
    found: dict[str, list[str]] = {}
    for path in (path for root in {CONF, config_dir() or CONF} for path in Path(root).glob("*/*.yaml")):
        found.setdefault(path.parent.name, []).append(path.stem)
    return found


def check_groups(words: Sequence[str]) -> None:
    """Raise UserError for a config group that is given what is no name: Hydra would stumble over it."""
    for word in words:
        name, _, value = word.lstrip("+").partition("=")
        wrong = [part for part in (value, *value.split(",")) if NO_NAME.fullmatch(part.strip())]  # several with -m
        if wrong and (known := groups().get(name)):
            raise UserError(f"{word}: {name} takes the name of a config: {nearest(wrong[0], known)}")


def explain(error: BaseException, config_name: str, words: Sequence[str] | None = None) -> str | None:
    """One line with the remedy for an error the user can mend, None for any other."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, BrokenPipeError) and output_closed():
        return "nobody reads any more what is printed here: repeat the command without closing its pipe, it goes on"
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
    try:
        known = known_keys(config_name, words)
    except (HydraException, OmegaConfBaseException):  # a config file is wrong, whatever the command line says
        return first_line(error)
    if key in known:  # and what it refers to is not
        return f"{key}: {first_line(error)}"
    return f"there is no setting {key!r}: {nearest(key, [*known, *groups()])}"


def known_keys(config_name: str, words: Sequence[str]) -> list[str]:
    """Every key that the config has under the config groups chosen on a command line."""
    chosen = [word for word in words if "=" in word and word.split("=")[0].lstrip("+") in groups()]
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(CONF, version_base="1.3"):
        config = hydra.compose(config_name, overrides=[*search_path(), *chosen])
    return [key for key, _ in leaves(OmegaConf.to_container(config))]  # type: ignore[arg-type]


def first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return " ".join(lines[:2] if lines[0].endswith(":") else lines[:1])
