"""A sweep's Optuna study: its store, who may go on with it, and how the next trial and the next to be stopped are found."""

import hashlib
import math
import os
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import filelock
import optuna
import sqlalchemy
from optuna.distributions import BaseDistribution
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.pruners import BasePruner, MedianPruner, NopPruner, SuccessiveHalvingPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from src.config.checks import leaves
from src.config.errors import UserError
from src.reporting.search import Trial
from src.search.space import Parameter

# What a sweep's trials have in common: of other ones, a store's earlier results would say nothing.
CONTENTS = ("base", "recipe", "stop", "space", "sampler", "startup", "pruner", "prune_from", "reduction", "seed")

# What a store or a disk raises that no longer does its work.
FAULTS = (optuna.exceptions.StorageInternalError, SQLAlchemyError, OSError)

ATTEMPTS = 5  # to make a study, a second apart

STATES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "stopped early",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}

optuna.logging.set_verbosity(optuna.logging.WARNING)
warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)


class Keyed(BaseSampler):
    """A sampler that starts afresh for every parameter, with the seed (sweep's seed, trial's number, parameter's name).

    With a generator that is carried along, a sweep that goes on would draw its first trials once more. So a trial's parameters
    depend on its number and on the results that were there when it began, and on nothing else.
    """

    def __init__(self, make: Callable[[int], BaseSampler], seed: int) -> None:
        self.make, self.seed = make, seed

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return {}

    def sample_relative(self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]) -> dict[str, Any]:
        return {}

    def sample_independent(self, study: Study, trial: FrozenTrial, name: str, distribution: BaseDistribution) -> Any:
        digest = hashlib.sha256(f"{self.seed} {trial.number} {name}".encode()).digest()
        return self.make(int.from_bytes(digest[:4])).sample_independent(study, trial, name, distribution)


def make_sampler(config: Mapping[str, Any]) -> BaseSampler:
    """TPE: Watanabe 2023, "Tree-structured Parzen estimator", arXiv 2304.11127."""
    if config["sampler"] == "random":
        return Keyed(lambda seed: RandomSampler(seed), config["seed"])
    return Keyed(lambda seed: TPESampler(seed=seed, n_startup_trials=config["startup"]), config["seed"])


def make_pruner(config: Mapping[str, Any]) -> BasePruner:
    """The steps of a trial are per cent of its budget, so that trials of other batch sizes and models can be held together.

    ASHA: Li et al. 2020, "A system for massively parallel hyperparameter tuning".
    """
    if config["pruner"] == "asha":
        return SuccessiveHalvingPruner(min_resource=config["prune_from"], reduction_factor=config["reduction"])
    if config["pruner"] == "median":
        return MedianPruner(n_startup_trials=config["startup"], n_warmup_steps=config["prune_from"])
    return NopPruner()


def open_study(config: Mapping[str, Any], folder: Path) -> Study:
    """The study of this name in the store, made where there is none; raises UserError for one of another sweep.

    config: the sweep's, with what its words stand for as `recipe`.
    """
    with filelock.FileLock(folder / ".open.lock"):  # a store is not made by two at once
        return claim_study(config, config["store"] or sqlite(folder / "study.db"))


def claim_study(config: Mapping[str, Any], store: str) -> Study:
    """The study in this store, marked as this sweep's, or as such already."""
    try:
        study = create_study(config, store)
        theirs, started = study.user_attrs.get("sweep"), bool(study.get_trials(deepcopy=False))
    except UserError:
        raise
    except ImportError as error:
        raise UserError(f"store={store} needs a driver that is not installed ({error}): pip install it") from error
    except Exception as error:  # each database has errors of its own
        raise UserError(f"cannot open store={store} ({reason_of(error)}): mend it, or choose another store=") from error

    ours = {key: config[key] for key in CONTENTS}
    remedy = "put it back, or choose another name= for this sweep"
    if theirs is None and started:
        raise UserError(f"store={store} holds a study {config['name']} that no sweep of ours made: choose another name=")
    if len(study.directions) != 1 or study.direction != optuna.study.StudyDirection.MINIMIZE:
        raise UserError(f"store={store} holds a study {config['name']} with another objective: choose another name=")
    if theirs is None:
        study.set_user_attr("sweep", ours)
    elif changes := differences(theirs, ours):
        said = [change for change in changes if not change.startswith("recipe.")] or changes  # what made the recipe another
        shown = "; ".join(said[:5]) + (f" and {len(said) - 5} more" if len(said) > 5 else "")
        raise UserError(f"store={store} holds a study {config['name']} of another sweep ({shown}): {remedy}")
    return study


def reason_of(error: BaseException) -> str:
    """What was wrong in the words of the database or the system, and not in those of the libraries above it; one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(error).split())[:300] or type(error).__name__


def create_study(config: Mapping[str, Any], store: str) -> Study:
    """Made, or found; another command that shares the store, and not the folder, may be at the same."""
    for left in reversed(range(ATTEMPTS)):
        try:
            return optuna.create_study(
                storage=open_store(store),
                sampler=make_sampler(config),
                pruner=make_pruner(config),
                study_name=config["name"],
                direction="minimize",
                load_if_exists=True,
            )
        except SQLAlchemyError as error:
            if not left or not (isinstance(error, IntegrityError) or "already exists" in str(error)):
                raise
            time.sleep(1)
    raise AssertionError("the last attempt returns or raises")


def sqlite(path: Path) -> str:
    """The address of a database in a file."""
    return sqlalchemy.URL.create("sqlite", database=str(path)).render_as_string()


def open_store(address: str) -> BaseStorage:
    """A database's address, or a path that ends in .journal (Optuna's append-only file, for shared file systems)."""
    if address.endswith(".journal"):
        Path(address).parent.mkdir(parents=True, exist_ok=True)
        return JournalStorage(JournalFileBackend(address, JournalLock(address)))
    if "://" not in address:
        raise UserError(f"store={address} is neither a database's address (sqlite:///PATH, postgresql://...) nor a .journal")
    if not address.startswith("sqlite"):
        return RDBStorage(address, engine_kwargs={"pool_pre_ping": True})
    database = sqlalchemy.make_url(address).database
    if not database or ":memory:" in database or "mode=memory" in address:
        raise UserError(f"store={address} is kept in memory and would be lost: name a file, sqlite:///PATH")
    Path(database.removeprefix("file:")).parent.mkdir(parents=True, exist_ok=True)
    return RDBStorage(address, engine_kwargs={"connect_args": {"timeout": 60}})  # seconds for another one's write


class JournalLock(JournalFileSymlinkLock):
    """Optuna's lock, a link beside the journal, which leads to it from any working directory and on any machine.

    Optuna tells by the journal's time whether the lock is an old one, and waits for ever where the link leads nowhere.
    It is taken for each write: what a crash has left of a line is cut off first.
    """

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._path, self._lock_target_file = path, Path(path).name

    def acquire(self) -> bool:
        super().acquire()
        try:
            drop_cut_line(self._path)
        except BaseException:
            self.release()
            raise
        return True


def drop_cut_line(path: str) -> None:
    """Cut a journal's last line off where a crash has left a part of it: the next write would make both unreadable."""
    with open(path, "rb+") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 1))
        if file.read() not in (b"", b"\n"):
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)


def differences(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> list[str]:
    """What sets two sweeps apart, as "key: old -> new"."""
    before, after = dict(leaves(theirs)), dict(leaves(ours))
    keys = sorted(before.keys() | after.keys())
    return [f"{key}: {before.get(key)} -> {after.get(key)}" for key in keys if before.get(key) != after.get(key)]


def winner(study: Study) -> FrozenTrial | None:
    """The complete trial of the smallest distance, the first of equals; None where none is complete."""
    complete = [trial for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)) if trial.value is not None]
    return min(complete, key=lambda trial: (trial.value, trial.number), default=None)


def importances(study: Study) -> dict[str, float]:
    """Share of each parameter in what sets the best tenth of the complete trials apart, largest first; empty for too few.

    Watanabe et al. 2023, "PED-ANOVA: efficiently quantifying hyperparameter importance in arbitrary subspaces".
    """
    values = {trial.value for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))}
    if len(values) < 4:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a parameter has one value only
        found = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
    return {} if any(math.isnan(value) for value in found.values()) else found


def trials_of(study: Study, parameters: Sequence[Parameter]) -> list[Trial]:
    """The study as the report takes it."""
    return [
        Trial(
            number=trial.number,
            state=STATES[trial.state],
            value=trial.value if trial.state != TrialState.FAIL else None,
            point={p.key: p.word(trial.params[p.key]).partition("=")[2] for p in parameters if p.key in trial.params},
            curve=dict(sorted(trial.intermediate_values.items())),
            images=trial.user_attrs.get("images", 0),
            seconds=trial.user_attrs.get("seconds", 0.0),
            reason=trial.user_attrs.get("reason", ""),
        )
        for trial in study.get_trials(deepcopy=False)
    ]
