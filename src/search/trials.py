"""Run the trials of a sweep: start or resume them, watch their validation scores, report the results to the study."""

import math
import shutil
import time
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml
from optuna.distributions import CategoricalDistribution, IntDistribution
from optuna.exceptions import TrialPruned
from optuna.storages import RetryHeartbeatStaleTrialCallback, fail_stale_trials
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from src.config.errors import UserError
from src.reporting.runs import validation_curve
from src.runs.folder import RunFolder
from src.search.jobs import INTERRUPTED, run_all, train
from src.search.space import words
from src.search.study import STATES, number_of, numbered_trials, winner
from src.system.signals import NotedSignals

IDLE = 2.0  # seconds between two checks of other commands' trials
MAX_FAILURES = 5  # this many in a row are not caused by the parameters


class Failed(Exception):
    """A trial has no score; its user attribute `reason` says why."""


class Watch:
    """Reports a trial's validations to the study; a call returns whether the trial may continue."""

    def __init__(self, trial: Trial, run: RunFolder) -> None:
        self.trial, self.run, self.pruned = trial, run, False
        self._step = -1  # the last one reported
        self._start = time.monotonic() - trial.user_attrs.get("seconds", 0.0)  # includes earlier attempts
        self._seen = self._changed()  # existing lines may be of other code, after which the trial restarts

    def __call__(self) -> bool:
        if (changed := self._changed()) != self._seen:
            self._seen = changed
            self.report()
        return not self.pruned

    def report(self) -> None:
        """Report the cost and all validations so far, at per cent of stop.samples (at samples seen without that budget)."""
        lines = self.run.scalars()
        self.trial.set_user_attr("samples", int(lines[-1]["samples_seen"]) if lines else 0)
        self.trial.set_user_attr("seconds", round(time.monotonic() - self._start, 1))
        curve = sorted(validation_curve(self.run).values())
        budget = yaml.safe_load((self.run.path / "config.yaml").read_text())["stop"]["samples"] if curve else None
        for samples, score in curve:
            step = min(100, round(100 * samples / budget)) if budget else samples
            if step > self._step and not self.pruned:
                self._step = step
                self.trial.report(score, step)
                self.pruned = bool(budget) and step < 100 and self.trial.should_prune()

    def _changed(self) -> int:
        path = self.run.path / "metrics.jsonl"
        return path.stat().st_mtime_ns if path.is_file() else 0


@dataclass
class Trials:
    """Runs the trials of a study, which several commands may share.

    space: config key -> distribution. shared: words of `python -m src.train` for all trials. count: number of trials that the
    study must have at the end.
    """

    study: Study
    folder: Path
    space: dict[str, Any]
    shared: list[str]
    count: int
    failures: int = field(default=0, init=False)  # in a row
    trials_ended: int = field(default=0, init=False)  # by this command
    start: float = field(default_factory=time.monotonic, init=False)

    def run(self, workers: int) -> None:
        """Run trials until there are enough and no command is still running one."""
        print(f"{len(self.states())} of {self.count} trials begun, in {self.folder}", flush=True)
        while (left := self.left()) or TrialState.RUNNING in self.states():
            run_all([self.run_one] * left or [self.wait], workers)

    def states(self) -> list[TrialState]:
        return [trial.state for trial in numbered_trials(self.study).values()]

    def left(self) -> int:
        """Number of trials to start or to retry."""
        states = self.states()
        return states.count(TrialState.WAITING) + max(0, self.count - len(states))

    def wait(self, stop: NotedSignals) -> None:
        """Wait until other commands' trials have ended, or one must be retried because its heartbeats stopped."""
        print("waiting for trials of other commands; trials of a killed command are retried after a minute", flush=True)
        while TrialState.RUNNING in self.states() and not self.left() and stop.number is None:
            time.sleep(IDLE)
            fail_stale_trials(self.study)

    def run_one(self, stop: NotedSignals) -> None:
        if self.left() and stop.number is None:
            self.study.optimize(lambda trial: self.train(trial, stop), 1, catch=(Failed,), callbacks=[self.ended])

    def train(self, trial: Trial, stop: NotedSignals) -> float:
        """Train a trial and return its score, the best validation. Raises TrialPruned, or Failed without a score."""
        trial.set_user_attr("reason", "")
        for key, distribution in self.space.items():
            draw(trial, key, distribution)
        run = RunFolder(self.folder / f"{number_of(self.study, trial.number):04d}")
        watch = Watch(trial, run)
        reason = train(run.path, [*self.shared, *words(self.space, trial.params), "evaluate=false"], stop, watch)
        watch()  # the last lines
        if reason is None:
            watch.report()  # existing ones too: an earlier command's training had reached its end
        if watch.pruned:
            raise TrialPruned
        score = run.manifest().get("ended", {}).get("best")
        if reason is None and (score is None or not math.isfinite(score)):
            reason = f"its validation score is {score}"
        if reason is not None:
            trial.set_user_attr("reason", reason)
            raise Failed(reason)
        return score

    def ended(self, study: Study, trial: FrozenTrial) -> None:
        """Queue an interrupted trial for the next command; of any other, delete the checkpoints and print how it ended.

        UserError after MAX_FAILURES failures in a row.
        """
        reason, number = trial.user_attrs["reason"], number_of(study, trial.number)
        if reason == INTERRUPTED:
            RetryHeartbeatStaleTrialCallback()(study, trial)
            return
        # The winner is trained again, so trials' checkpoints are not needed, and many would fill the disk.
        shutil.rmtree(RunFolder(self.folder / f"{number:04d}").checkpoints, ignore_errors=True)
        self.trials_ended += 1
        parts = [f"trial {number}", STATES[trial.state], reason or f"{trial.value:.4g}"]
        if best := winner(study):
            parts.append(f"best {best[1].value:.4g} (trial {best[0]})")
        states = self.states()
        done, total = sum(state.is_finished() for state in states), max(self.count, len(states))
        left = (time.monotonic() - self.start) / self.trials_ended * (total - done)
        print(*parts, f"{done} of {total}", f"left {timedelta(seconds=round(left))}", sep="  ", flush=True)
        self.failures = self.failures + 1 if reason and not reason.startswith("diverged") else 0
        if self.failures >= MAX_FAILURES:
            raise UserError(
                f"{self.failures} trials in a row failed: {reason} (see {self.folder}): fix it and repeat the command, "
                "it goes on with the next"
            )


def draw(trial: Trial, key: str, distribution: Any) -> Any:
    """A trial's value of this parameter; drawn now unless the trial has one already."""
    if isinstance(distribution, CategoricalDistribution):
        return trial.suggest_categorical(key, distribution.choices)
    suggest = trial.suggest_int if isinstance(distribution, IntDistribution) else trial.suggest_float
    return suggest(key, distribution.low, distribution.high, step=distribution.step, log=distribution.log)
