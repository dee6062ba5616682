"""Run the trials of a sweep: start or resume them, watch their validation scores, report the results to the study."""

import math
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from optuna.exceptions import TrialPruned
from optuna.storages import RetryHeartbeatStaleTrialCallback, fail_stale_trials
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from src.config.errors import UserError
from src.reporting.runs import validation_curve
from src.runs.folder import RunFolder
from src.search.jobs import INTERRUPTED, Stop, run_all, train
from src.search.space import Parameter, words
from src.search.study import STATES, number_of, numbered_trials, winner

IDLE = 2.0  # seconds between two checks of other commands' trials
MAX_FAILURES = 5  # this many in a row are not caused by the parameters


class Failed(Exception):
    """A trial has no score; its user attribute `reason` says why."""


class Watch:
    """Reports a trial's validations to the study; a call returns whether the trial may continue."""

    def __init__(self, trial: Trial, run: RunFolder) -> None:
        self.trial, self.run, self.pruned = trial, run, False
        self._reported: set[int] = set()
        self._start = time.monotonic() - trial.user_attrs.get("seconds", 0.0)  # includes earlier attempts
        self._seen = self._changed()  # existing lines may be of other code, after which the trial restarts

    def __call__(self) -> bool:
        if (changed := self._changed()) != self._seen:
            self._seen = changed
            self.report()
        return not self.pruned

    def report(self) -> None:
        """Report all validations so far, at per cent of stop.samples (at samples seen without that budget), and the cost."""
        path = self.run.path / "config.yaml"
        budget = yaml.safe_load(path.read_text())["stop"]["samples"] if path.is_file() else None
        before = len(self._reported)
        for samples, score in sorted(validation_curve(self.run).values()):
            step = min(100, round(100 * samples / budget)) if budget else samples
            if step not in self._reported and not self.pruned:
                self._reported.add(step)
                self.trial.report(score, step)
                self.pruned = bool(budget) and step < 100 and self.trial.should_prune()
        if len(self._reported) > before:
            self.note_cost()

    def note_cost(self) -> None:
        lines = self.run.scalars()
        self.trial.set_user_attr("samples", int(lines[-1]["samples_seen"]) if lines else 0)
        self.trial.set_user_attr("seconds", round(time.monotonic() - self._start, 1))

    def _changed(self) -> int:
        path = self.run.path / "metrics.jsonl"
        return path.stat().st_mtime_ns if path.is_file() else 0


class Trials:
    """Runs the trials of a study, which several commands may share.

    shared: words of `python -m src.train` for all trials. count: number of trials that the study must have at the end.
    """

    def __init__(self, study: Study, folder: Path, parameters: Sequence[Parameter], shared: Sequence[str], count: int) -> None:
        self.study, self.folder, self.parameters, self.shared = study, folder, list(parameters), list(shared)
        self.count = count
        self._failures, self._ended, self._start = 0, 0, time.monotonic()

    def run(self, workers: int) -> None:
        """Run trials until there are enough and no command is still running one."""
        print(f"{len(numbered_trials(self.study))} of {self.count} trials begun, in {self.folder}", flush=True)
        while (left := self.left()) or self._in(TrialState.RUNNING):
            run_all([self.run_one] * left or [self.wait], workers)

    def left(self) -> int:
        """Number of trials to start or to retry."""
        return len(self._in(TrialState.WAITING)) + max(0, self.count - len(numbered_trials(self.study)))

    def wait(self, stop: Stop) -> None:
        """Wait until other commands' trials have ended, or one must be retried because its heartbeats stopped."""
        print("waiting for trials of other commands; trials of a killed command are retried after a minute", flush=True)
        while self._in(TrialState.RUNNING) and not self.left() and not stop.wait(IDLE):
            fail_stale_trials(self.study)

    def run_one(self, stop: Stop) -> None:
        if stop.is_set() or not self.left():
            return
        try:
            self.study.optimize(lambda trial: self.train(trial, stop), 1, catch=(Failed,), callbacks=[self.ended])
        except ValueError as error:
            if "Cannot tell a" not in str(error):  # Optuna's, if heartbeats stopped: the machine slept
                raise
            print("another command has retried a trial of this one, because its heartbeats had stopped", flush=True)

    def train(self, trial: Trial, stop: Stop) -> float:
        """Train a trial and return its score, the best validation. Raises TrialPruned, or Failed without a score."""
        trial.set_user_attr("reason", "")
        for parameter in self.parameters:
            draw(trial, parameter)
        run = RunFolder(self.path(number_of(self.study, trial.number)))
        watch = Watch(trial, run)
        reason = train(run.path, [*self.shared, *words(self.parameters, trial.params)], stop, watch)
        if reason is None:
            watch.report()
        watch()
        watch.note_cost()
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
        shutil.rmtree(RunFolder(self.path(number)).checkpoints, ignore_errors=True)
        self._ended += 1
        self._print_ended(number, trial)
        self._failures = self._failures + 1 if reason and not reason.startswith("diverged") else 0
        if self._failures >= MAX_FAILURES:
            raise UserError(
                f"{self._failures} trials in a row failed: {reason} (see {self.folder}): fix it and repeat the command, "
                "it goes on with the next"
            )

    def path(self, number: int) -> Path:
        return self.folder / f"{number:04d}"

    def _in(self, state: TrialState) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False, states=(state,))

    def _print_ended(self, number: int, trial: FrozenTrial) -> None:
        """Print a line for an ended trial: number, state, score, best score so far, trials done and time left."""
        parts = [f"trial {number}", STATES[trial.state], trial.user_attrs["reason"] or f"{trial.value:.4g}"]
        if best := winner(self.study):
            parts.append(f"best {best[1].value:.4g} (trial {best[0]})")
        trials = numbered_trials(self.study).values()
        done, total = sum(other.state.is_finished() for other in trials), max(self.count, len(trials))
        left = (time.monotonic() - self._start) / self._ended * (total - done)
        parts += [f"{done} of {total}", f"left {left // 3600:.0f}:{left // 60 % 60:02.0f}:{left % 60:02.0f}"]
        print("  ".join(parts), flush=True)


def draw(trial: Trial, parameter: Parameter) -> Any:
    """A trial's value of this parameter; drawn now unless the trial has one already."""
    key, distribution = parameter.key, parameter.distribution
    if parameter.choices:
        return trial.suggest_categorical(key, distribution.choices)
    suggest = trial.suggest_int if isinstance(distribution.low, int) else trial.suggest_float
    return suggest(key, distribution.low, distribution.high, step=distribution.step, log=distribution.log)
