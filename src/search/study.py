"""A sweep's Optuna study: its store, the check that it belongs to this sweep, its sampler and its pruner."""

import hashlib
import math
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
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from src.config.checks import leaves
from src.config.errors import UserError
from src.reporting.search import Trial
from src.search.space import Parameter

FAULTS = (optuna.exceptions.StorageInternalError, SQLAlchemyError, OSError)  # of a store or a disk that fails
HEARTBEAT, GRACE = 15, 60  # seconds between a trial's heartbeats in the store; seconds without one until it is retried
STATES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "stopped early",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}

optuna.logging.set_verbosity(optuna.logging.ERROR)
warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)


class KeyedSampler(BaseSampler):
    """A sampler that is seeded anew for every parameter, by (sweep's seed, trial's number, parameter's name).

    A trial's parameters thus depend only on its number and on the results that existed when it started. With one generator for
    all trials, a resumed sweep would draw its first trials again.
    """

    def __init__(self, make: Callable[[int], BaseSampler], seed: int) -> None:
        self.make, self.seed = make, seed

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return {}

    def sample_relative(self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]) -> dict[str, Any]:
        return {}

    def sample_independent(self, study: Study, trial: FrozenTrial, name: str, distribution: BaseDistribution) -> Any:
        digest = hashlib.sha256(f"{self.seed} {number_of(study, trial.number)} {name}".encode()).digest()
        return self.make(int.from_bytes(digest[:4])).sample_independent(study, trial, name, distribution)


def make_sampler(config: Mapping[str, Any]) -> BaseSampler:
    """Random, or TPE: Watanabe 2023, "Tree-structured Parzen estimator", arXiv 2304.11127."""
    if config["sampler"] == "random":
        return KeyedSampler(lambda seed: RandomSampler(seed), config["seed"])
    return KeyedSampler(lambda seed: TPESampler(seed=seed, n_startup_trials=config["startup"]), config["seed"])


def make_pruner(config: Mapping[str, Any]) -> BasePruner:
    """Pruners count a trial's steps in per cent of its budget, so that different batch sizes and models are comparable.

    ASHA: Li et al. 2020, "A system for massively parallel hyperparameter tuning".
    """
    if config["pruner"] == "asha":
        return SuccessiveHalvingPruner(min_resource=config["prune_from"], reduction_factor=config["reduction"])
    if config["pruner"] == "median":
        return MedianPruner(n_startup_trials=config["startup"], n_warmup_steps=config["prune_from"])
    return NopPruner()


def open_study(config: Mapping[str, Any], contents: Mapping[str, Any], folder: Path) -> Study:
    """The study of this name in the store, created if there is none; UserError if it belongs to another sweep.

    contents: the settings that all trials of the sweep share, `better` among them.
    """
    address = config["store"] or f"SQLite in {folder}"
    direction = StudyDirection.MAXIMIZE if contents["better"] == "higher" else StudyDirection.MINIMIZE
    try:
        study = optuna.create_study(
            storage=open_store(config["store"], folder),
            sampler=make_sampler(config),
            pruner=make_pruner(config),
            study_name=config["name"],
            direction=direction,
            load_if_exists=True,
        )
        theirs, directions, begun = study.user_attrs.get("sweep"), study.directions, bool(study.get_trials(deepcopy=False))
    except UserError:
        raise
    except ImportError as error:
        raise UserError(f"store={address} needs a driver that is not installed ({error}): pip install it") from error
    except Exception as error:  # each database has its own errors
        raise UserError(f"cannot open store={address} ({reason_of(error)}): fix it, or choose another store=") from error
    if theirs is None and not begun and directions == [direction]:
        study.set_user_attr("sweep", dict(contents))
    elif theirs is None:
        raise UserError(f"store={address} holds a study {config['name']} that src.sweep did not make: choose another name=")
    elif changes := differences(theirs, contents):
        said = [
            change for change in changes if not change.startswith("recipe.")
        ] or changes  # the causes of changes to the recipe
        shown = "; ".join(said[:5]) + (f" and {len(said) - 5} more" if len(said) > 5 else "")
        remedy = "put it back, or choose another name= for this sweep"
        raise UserError(f"store={address} holds a study {config['name']} of another sweep ({shown}): {remedy}")
    return study


class Store(RDBStorage):
    """Optuna's storage with a lock: without it, two workers on SQLite could start the same waiting trial."""

    def __init__(self, lock: Path, *words: Any, **options: Any) -> None:
        super().__init__(*words, **options)
        self._lock = filelock.FileLock(lock)  # excludes other threads of this command, and other commands

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        with self._lock:
            return super().set_trial_state_values(trial_id, state, values)


def open_store(address: str | None, folder: Path) -> RDBStorage:
    """The database at this address, or SQLite in the sweep's folder for None. A trial whose command dies is retried."""
    url = sqlalchemy.make_url(address) if address else sqlalchemy.URL.create("sqlite", database=str(folder / "study.db"))
    options: dict[str, Any] = {"pool_pre_ping": True}
    if url.get_backend_name() == "sqlite":
        if url.database in (None, "", ":memory:"):
            raise UserError(f"store={address} is kept in memory and would be lost: name a file, sqlite:///PATH")
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        options = {"connect_args": {"timeout": 60}}  # seconds to wait for another writer
    return Store(
        folder / ".store.lock",
        url.render_as_string(hide_password=False),
        engine_kwargs=options,
        heartbeat_interval=HEARTBEAT,
        grace_period=GRACE,
        heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(),
    )


def reason_of(error: BaseException) -> str:
    """The message of an error's first cause (database or system), without those of the libraries above it; one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(error).split())[:300] or type(error).__name__


def differences(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> list[str]:
    """The settings that differ between two sweeps, each as "key: old -> new"."""
    before, after = dict(leaves(theirs)), dict(leaves(ours))
    keys = sorted(before.keys() | after.keys())
    return [f"{key}: {before.get(key)} -> {after.get(key)}" for key in keys if before.get(key) != after.get(key)]


# Optuna gives a retried trial a new number. Reports, folders and the sampler use numbers that a retry does not change.


def original_number(trial: FrozenTrial) -> int:
    """Optuna's number of the trial that this one retries, its own number if it is no retry."""
    first = RetryHeartbeatStaleTrialCallback.retried_trial_number(trial)
    return trial.number if first is None else first


def numbered_trials(study: Study) -> dict[int, FrozenTrial]:
    """Displayed number -> trial; of a retried trial the latest attempt."""
    latest = {original_number(trial): trial for trial in study.get_trials(deepcopy=False)}
    return dict(enumerate(latest.values()))


def number_of(study: Study, number: int) -> int:
    """The displayed number of the trial with this number in Optuna."""
    trials = study.get_trials(deepcopy=False)
    return sum(original_number(trial) == trial.number for trial in trials[: original_number(trials[number])])


def winner(study: Study) -> tuple[int, FrozenTrial] | None:
    """(displayed number, trial) of the best complete trial, the first among equals; None if none is complete."""
    sign = -1 if study.direction == StudyDirection.MAXIMIZE else 1
    complete = [(number, trial) for number, trial in numbered_trials(study).items() if trial.state == TrialState.COMPLETE]
    return min(complete, key=lambda found: sign * (found[1].value or 0.0), default=None)


def importances(study: Study) -> dict[str, float]:
    """Importance of each parameter for being in the best tenth of the complete trials, largest first; empty for too few.

    Watanabe et al. 2023, "PED-ANOVA: efficiently quantifying hyperparameter importance in arbitrary subspaces".
    """
    values = {trial.value for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))}
    if len(values) < 4:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a parameter with a single value causes a warning
        found = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
    return {} if any(math.isnan(value) for value in found.values()) else found


def trials_of(study: Study, parameters: Sequence[Parameter]) -> list[Trial]:
    """The study's trials as records for the report."""
    return [
        Trial(
            number=number,
            state=STATES[trial.state],
            value=trial.value if trial.state != TrialState.FAIL else None,
            point={p.key: p.word(trial.params[p.key]).partition("=")[2] for p in parameters if p.key in trial.params},
            curve=dict(sorted(trial.intermediate_values.items())),
            samples=trial.user_attrs.get("samples", 0),
            seconds=trial.user_attrs.get("seconds", 0.0),
            reason=trial.user_attrs.get("reason", ""),
        )
        for number, trial in numbered_trials(study).items()
    ]
