"""Trials of a sweep: begun or taken up where they were left, watched as they train, their results told to the study."""

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
from src.search.study import STATES, counted, number_of, winner

IDLE = 2.0  # seconds between two looks at what other commands have
HOPELESS = 5  # so many failures in a row mean that it is not the parameters' fault


class Failed(Exception):
    """A trial has no score; its user attribute `reason` says why."""


class Watch:
    """Reports a trial's validations to the study; called, it says whether the trial may go on."""

    def __init__(self, trial: Trial, run: RunFolder) -> None:
        self.trial, self.run, self.pruned = trial, run, False
        self._reported: set[int] = set()
        self._start = time.monotonic() - trial.user_attrs.get("seconds", 0.0)  # as if all sittings had been one
        self._seen = self._changed()  # what is there may be of other code, and begun anew

    def __call__(self) -> bool:
        if (changed := self._changed()) != self._seen:
            self._seen = changed
            self.report()
        return not self.pruned

    def report(self) -> None:
        """All validations so far, at per cent of the budget of samples (at samples where there is none), and the cost."""
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
    """What there is to do in a study, which several commands may share.

    shared: words of `python -m src.train` that all trials have. count: of trials that the study is to have.
    """

    def __init__(self, study: Study, folder: Path, parameters: Sequence[Parameter], shared: Sequence[str], count: int) -> None:
        self.study, self.folder, self.parameters, self.shared = study, folder, list(parameters), list(shared)
        self.count = count
        self._failures, self._ended, self._start = 0, 0, time.monotonic()

    def run(self, workers: int) -> None:
        """Until there are enough trials and no command is still at one."""
        print(f"{len(counted(self.study))} of {self.count} trials begun, in {self.folder}", flush=True)
        while (left := self.left()) or self._in(TrialState.RUNNING):
            run_all([self.run_one] * left or [self.wait], workers)

    def left(self) -> int:
        """How many there are to begin, or to go on with."""
        return len(self._in(TrialState.WAITING)) + max(0, self.count - len(counted(self.study)))

    def wait(self, stop: Stop) -> None:
        """Until other commands' trials have ended, or one of them is to be gone on with as its command gives no heartbeat."""
        print("waiting for trials of other commands; those of a killed one are taken up after a minute", flush=True)
        while self._in(TrialState.RUNNING) and not self.left() and not stop.wait(IDLE):
            fail_stale_trials(self.study)

    def run_one(self, stop: Stop) -> None:
        if stop.is_set() or not self.left():
            return
        try:
            self.study.optimize(lambda trial: self.train(trial, stop), 1, catch=(Failed,), callbacks=[self.ended])
        except ValueError as error:
            if "Cannot tell a" not in str(error):  # Optuna's, of a trial without heartbeats, as on a machine that slept
                raise
            print("a trial is gone on with by another command, which took this one to be dead", flush=True)

    def train(self, trial: Trial, stop: Stop) -> float:
        """The score of a trial: its best validation."""
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
        """Have a trial that was interrupted gone on with by the next command; say how any other has ended."""
        reason, number = trial.user_attrs["reason"], number_of(study, trial.number)
        if reason == INTERRUPTED:
            RetryHeartbeatStaleTrialCallback()(study, trial)
            return
        # The winner is trained again, and the checkpoints of many trials would fill the disk.
        shutil.rmtree(RunFolder(self.path(number)).checkpoints, ignore_errors=True)
        self._ended += 1
        self._say(number, trial)
        self._failures = self._failures + 1 if reason and not reason.startswith("diverged") else 0
        if self._failures >= HOPELESS:
            raise UserError(
                f"{self._failures} trials in a row failed: {reason} (see {self.folder}): mend it and repeat the command, "
                "it goes on with the next"
            )

    def path(self, number: int) -> Path:
        return self.folder / f"{number:04d}"

    def _in(self, state: TrialState) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False, states=(state,))

    def _say(self, number: int, trial: FrozenTrial) -> None:
        """A line for a trial that has ended: number, state, score, the best so far, how many are left and for how long."""
        parts = [f"trial {number}", STATES[trial.state], trial.user_attrs["reason"] or f"{trial.value:.4g}"]
        if best := winner(self.study):
            parts.append(f"best {best[1].value:.4g} (trial {best[0]})")
        trials = counted(self.study).values()
        done, total = sum(other.state.is_finished() for other in trials), max(self.count, len(trials))
        left = (time.monotonic() - self._start) / self._ended * (total - done)
        parts += [f"{done} of {total}", f"left {left // 3600:.0f}:{left // 60 % 60:02.0f}:{left % 60:02.0f}"]
        print("  ".join(parts), flush=True)


def draw(trial: Trial, parameter: Parameter) -> Any:
    """A trial's value, drawn now if it has none yet."""
    key, distribution = parameter.key, parameter.distribution
    if parameter.choices:
        return trial.suggest_categorical(key, distribution.choices)
    suggest = trial.suggest_int if isinstance(distribution.low, int) else trial.suggest_float
    return suggest(key, distribution.low, distribution.high, step=distribution.step, log=distribution.log)
