"""A sweep's Optuna study: its store, who may go on with it, and how the next trial and the next to be stopped are found."""

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

FAULTS = (optuna.exceptions.StorageInternalError, SQLAlchemyError, OSError)  # of a store or a disk that does not work
HEARTBEAT, GRACE = 15, 60  # seconds between two signs of a trial's life in the store; without one until it is taken up
STATES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "stopped early",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}

optuna.logging.set_verbosity(optuna.logging.ERROR)
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
        digest = hashlib.sha256(f"{self.seed} {number_of(study, trial.number)} {name}".encode()).digest()
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


def open_study(config: Mapping[str, Any], contents: Mapping[str, Any], folder: Path) -> Study:
    """The study of this name in the store, made where there is none; UserError for one of another sweep.

    contents: what the sweep's trials have in common, its `better` among it.
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
    except Exception as error:  # each database has errors of its own
        raise UserError(f"cannot open store={address} ({reason_of(error)}): mend it, or choose another store=") from error
    if theirs is None and not begun and directions == [direction]:
        study.set_user_attr("sweep", dict(contents))
    elif theirs is None:
        raise UserError(f"store={address} holds a study {config['name']} that no sweep of ours made: choose another name=")
    elif changes := differences(theirs, contents):
        said = [change for change in changes if not change.startswith("recipe.")] or changes  # what made the recipe another
        shown = "; ".join(said[:5]) + (f" and {len(said) - 5} more" if len(said) > 5 else "")
        remedy = "put it back, or choose another name= for this sweep"
        raise UserError(f"store={address} holds a study {config['name']} of another sweep ({shown}): {remedy}")
    return study


class Store(RDBStorage):
    """Optuna's, in which a waiting trial is begun once: in SQLite nothing else keeps two workers from taking the same."""

    def __init__(self, lock: Path, *words: Any, **options: Any) -> None:
        super().__init__(*words, **options)
        self._lock = filelock.FileLock(lock)  # between the threads of a command, and between commands

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        with self._lock:
            return super().set_trial_state_values(trial_id, state, values)


def open_store(address: str | None, folder: Path) -> RDBStorage:
    """The database at this address, for None SQLite in the sweep's folder. A trial whose command dies is begun once more."""
    url = sqlalchemy.make_url(address) if address else sqlalchemy.URL.create("sqlite", database=str(folder / "study.db"))
    options: dict[str, Any] = {"pool_pre_ping": True}
    if url.get_backend_name() == "sqlite":
        if url.database in (None, "", ":memory:"):
            raise UserError(f"store={address} is kept in memory and would be lost: name a file, sqlite:///PATH")
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        options = {"connect_args": {"timeout": 60}}  # seconds for another one's write
    return Store(
        folder / ".store.lock",
        url.render_as_string(hide_password=False),
        engine_kwargs=options,
        heartbeat_interval=HEARTBEAT,
        grace_period=GRACE,
        heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(),
    )


def reason_of(error: BaseException) -> str:
    """What was wrong in the words of the database or the system, and not in those of the libraries above it; one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(error).split())[:300] or type(error).__name__


def differences(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> list[str]:
    """What sets two sweeps apart, as "key: old -> new"."""
    before, after = dict(leaves(theirs)), dict(leaves(ours))
    keys = sorted(before.keys() | after.keys())
    return [f"{key}: {before.get(key)} -> {after.get(key)}" for key in keys if before.get(key) != after.get(key)]


# Optuna gives a trial that is gone on with another number. People, folders and the sampler keep the first.


def first_of(trial: FrozenTrial) -> int:
    """Optuna's number of the trial that this one goes on with; its own where it goes on with none."""
    first = RetryHeartbeatStaleTrialCallback.retried_trial_number(trial)
    return trial.number if first is None else first


def counted(study: Study) -> dict[int, FrozenTrial]:
    """The trials by the numbers that people see; of one that was interrupted the last sitting."""
    latest = {first_of(trial): trial for trial in study.get_trials(deepcopy=False)}
    return dict(enumerate(latest.values()))


def number_of(study: Study, number: int) -> int:
    """What Optuna's number of a trial is for people."""
    trials = study.get_trials(deepcopy=False)
    return sum(first_of(trial) == trial.number for trial in trials[: first_of(trials[number])])


def winner(study: Study) -> tuple[int, FrozenTrial] | None:
    """Number and record of the best complete trial, the first of equals; None where none is complete."""
    sign = -1 if study.direction == StudyDirection.MAXIMIZE else 1
    complete = [(number, trial) for number, trial in counted(study).items() if trial.state == TrialState.COMPLETE]
    return min(complete, key=lambda found: sign * (found[1].value or 0.0), default=None)


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
            number=number,
            state=STATES[trial.state],
            value=trial.value if trial.state != TrialState.FAIL else None,
            point={p.key: p.word(trial.params[p.key]).partition("=")[2] for p in parameters if p.key in trial.params},
            curve=dict(sorted(trial.intermediate_values.items())),
            samples=trial.user_attrs.get("samples", 0),
            seconds=trial.user_attrs.get("seconds", 0.0),
            reason=trial.user_attrs.get("reason", ""),
        )
        for number, trial in counted(study).items()
    ]
