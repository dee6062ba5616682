"""A sweep's Optuna study: its store, the check that it belongs to this sweep, its sampler and its pruner."""

import hashlib
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import filelock
import optuna
import sqlalchemy
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.pruners import BasePruner, MedianPruner, NopPruner, SuccessiveHalvingPruner
from optuna.samplers import RandomSampler, TPESampler
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from src.config.checks import leaves
from src.config.errors import UserError

HEARTBEAT, GRACE = 15, 60  # seconds between a trial's heartbeats in the store; seconds without one until it is retried
STATES = {state: state.name.lower() for state in TrialState} | {TrialState.PRUNED: "stopped early", TrialState.FAIL: "failed"}

optuna.logging.set_verbosity(optuna.logging.ERROR)
warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)


class KeyedSampler(RandomSampler):
    """TPE or random, seeded anew for every parameter by (sweep's seed, trial's number, parameter's name).

    A trial's parameters thus depend only on its number and on the results that existed when it started. With one generator for
    all trials, a resumed sweep would draw its first trials again. TPE: Watanabe 2023, "Tree-structured Parzen estimator",
    arXiv 2304.11127.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        self.seed = config["seed"]
        self.startup = config["startup"] if config["sampler"] == "tpe" else sys.maxsize  # TPE is random until then

    def sample_independent(self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: Any) -> Any:
        key = hashlib.sha256(f"{self.seed} {number_of(study, trial.number)} {param_name}".encode()).digest()
        tpe = TPESampler(seed=int.from_bytes(key[:4]), n_startup_trials=self.startup)
        return tpe.sample_independent(study, trial, param_name, param_distribution)


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
    try:
        study = optuna.create_study(
            storage=open_store(config["store"], folder),
            sampler=KeyedSampler(config),
            pruner=make_pruner(config),
            study_name=config["name"],
            direction="maximize" if contents["better"] == "higher" else "minimize",
            load_if_exists=True,
        )
        theirs = study.user_attrs.get("sweep", {})
    except ImportError as error:
        raise UserError(f"store={address} needs a driver that is not installed ({error}): pip install it") from error
    except Exception as error:  # each database has its own errors
        raise UserError(f"cannot open store={address} ({reason_of(error)}): fix it, or choose another store=") from error
    if not theirs and not study.get_trials(deepcopy=False):
        study.set_user_attr("sweep", dict(contents))
    elif changes := differences(theirs, contents):
        shown = "; ".join(changes[:5]) + (f" and {len(changes) - 5} more" if len(changes) > 5 else "")
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
    sqlite = {"connect_args": {"timeout": 60}}  # seconds to wait for another writer
    return Store(
        folder / ".store.lock",
        url.render_as_string(hide_password=False),
        engine_kwargs=sqlite if url.get_backend_name() == "sqlite" else {"pool_pre_ping": True},
        heartbeat_interval=HEARTBEAT,
        grace_period=GRACE,
        heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(),
    )


def reason_of(error: BaseException) -> str:
    """The message of an error's first cause (database or system), without those of the libraries above it; one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(error).split())[:300]


def differences(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> list[str]:
    """The settings that differ between two sweeps, each as "key: old -> new"; of the recipe only if all others agree."""
    before, after = dict(leaves(theirs)), dict(leaves(ours))
    changed = [key for key in sorted(before.keys() | after.keys()) if before.get(key) != after.get(key)]
    causes = [key for key in changed if not key.startswith("recipe.")]
    return [f"{key}: {before.get(key)} -> {after.get(key)}" for key in causes or changed]


# Optuna gives a retried trial a new number. Reports, folders and the sampler use numbers that a retry does not change.


def numbered_trials(study: Study) -> dict[int, FrozenTrial]:
    """Displayed number -> trial; of a retried trial the latest attempt."""
    latest: dict[int, FrozenTrial] = {}
    for trial in study.get_trials(deepcopy=False):
        first = RetryHeartbeatStaleTrialCallback.retried_trial_number(trial)
        latest[trial.number if first is None else first] = trial
    return dict(enumerate(latest.values()))


def number_of(study: Study, number: int) -> int:
    """The displayed number of a trial, from its number in Optuna; it must be the latest attempt."""
    return next(shown for shown, trial in numbered_trials(study).items() if trial.number == number)


def sign(study: Study) -> int:
    """1 where lower scores are better, -1 where higher ones are."""
    return -1 if study.direction == StudyDirection.MAXIMIZE else 1


def winner(study: Study) -> tuple[int, FrozenTrial] | None:
    """(displayed number, trial) of the best complete trial, the first among equals; None if none is complete."""
    complete = [(number, trial) for number, trial in numbered_trials(study).items() if trial.state == TrialState.COMPLETE]
    return min(complete, key=lambda found: sign(study) * (found[1].value or 0.0), default=None)


def importances(study: Study) -> dict[str, float]:
    """Importance of each parameter for being in the best tenth of the complete trials, largest first; empty for too few.

    Watanabe et al. 2023, "PED-ANOVA: efficiently quantifying hyperparameter importance in arbitrary subspaces".
    """
    if len({trial.value for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))}) < 4:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a parameter with a single value causes a warning
        return get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
