"""Trials of a sweep: begun or taken up where they were left, watched as they train, their results told to the study."""

import contextlib
import math
import shutil
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import filelock
from optuna.exceptions import UpdateFinishedTrialError
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from src.config.errors import UserError
from src.reporting.runs import validation_curve
from src.runs.folder import RunFolder
from src.search.jobs import Job, images_of, run_jobs, unsigned
from src.search.space import Parameter, words
from src.search.study import STATES, winner
from src.system.files import write_atomic

HEARTBEAT = 60.0  # seconds between two signs of life in the store
SILENCE = 600.0  # seconds without one after which another machine's trial is taken to be lost
HOPELESS = 5  # so many failures in a row mean that it is not the parameters' fault


class TrialJob(Job):
    """One trial's training, in the folder that has its number."""

    def __init__(self, trials: "Trials", trial: Trial) -> None:
        super().__init__(trials.path(trial.number))
        self.trials, self.trial = trials, trial
        self.budget: float | None = None  # images
        self.pruned = False
        self._reported = set(trials.study.get_trials(deepcopy=False)[trial.number].intermediate_values)
        self._earlier = trial.user_attrs.get("seconds", 0.0) + unsigned(self.run, trial.user_attrs.get("seen"))
        self._size = self._heartbeat = -1.0

    def watch(self) -> None:
        try:
            if time.monotonic() - self._heartbeat > HEARTBEAT:
                self.sign()
            self.report()
        except UpdateFinishedTrialError:  # another machine took it to be lost
            self.stop()

    def sign(self) -> None:
        """Tell the store that this trial is alive, and what it has cost."""
        self._heartbeat = time.monotonic()
        self.trial.set_user_attr("seen", time.time())
        self.trial.set_user_attr("seconds", round(self._earlier + self.seconds(), 1))
        self.trial.set_user_attr("images", max(images_of(self.run), self.trial.user_attrs.get("images", 0)))

    def report(self) -> None:
        """Hand new validation distances to the study, which may stop the trial for one."""
        path = self.run.path / "metrics.jsonl"
        size = path.stat().st_size if path.is_file() else 0
        if size == self._size or self.pruned:
            return
        self._size = size
        for _, (images, distance) in sorted(validation_curve(self.run).items()):
            # Per cent of the budget, see make_pruner; without a budget of images no trial is stopped.
            step = min(100, round(100 * images / self.budget)) if self.budget else images
            if step in self._reported:
                continue
            self._reported.add(step)
            self.trial.report(distance, step)
            if self.budget and step < 100 and self.trial.should_prune():
                self.pruned = True
                self.trial.set_user_attr("pruned", True)  # which no pruner would say twice
                self.stop()
                return

    def interrupted(self) -> None:
        with contextlib.suppress(UpdateFinishedTrialError):
            self.sign()

    def finish(self) -> None:
        reason, distance = self.failure(), self.run.manifest().get("ended", {}).get("best_distance")
        if reason is None and (distance is None or not math.isfinite(distance)):
            reason = f"its validation distance is {distance}"
        try:
            self.sign()
            if reason is None:
                self.trials.tell(self.trial, TrialState.COMPLETE, distance)
            elif self.pruned:
                self.trials.tell(self.trial, TrialState.PRUNED)
            else:
                self.trials.tell(self.trial, TrialState.FAIL, reason=reason)
        except UpdateFinishedTrialError:
            print(f"trial {self.trial.number}  was begun anew by another machine", flush=True)
            remove_checkpoints(self.run.path)


class Trials:
    """What there is to do in a study, for commands that share it: on one file system by locks, elsewhere by signs of life.

    compose: words of `python -m src.train` -> its plain config; raises UserError.
    """

    def __init__(
        self,
        study: Study,
        folder: Path,
        parameters: Sequence[Parameter],
        shared: Sequence[str],
        count: int,
        compose: Callable[[Sequence[str]], Mapping[str, Any]],
    ) -> None:
        self.study, self.folder, self.parameters, self.shared = study, folder, list(parameters), list(shared)
        self.count, self.compose = count, compose
        self._lock = filelock.FileLock(folder / ".next.lock")
        self._mine: set[int] = set()
        self._failures, self._ended, self._start, self._said = 0, 0, time.monotonic(), False
        self._saving = False  # whether a training that a killed command left is still at work
        with self._lock:  # what tells this file system from other machines'
            if not (mark := folder / "mark").is_file():
                write_atomic(mark, uuid.uuid4().hex.encode())
            self.mark = mark.read_text()

    def run(self, workers: int, wait: bool) -> None:
        """Until there are enough trials; `wait` for those of other commands as well."""
        print(f"{len(self._counted())} of {self.count} trials begun, in {self.folder}", flush=True)
        self._tidy()
        run_jobs(self.next_job, workers, lambda: self._saving or (wait and self.waiting()))

    def next_job(self) -> TrialJob | None:
        """A claimed trial: one that was running when its command was killed, or a new one; None where there is none to take.

        None as well while such a one still saves: the next trial's parameters depend on its result.
        """
        with self._lock:
            self._saving = False
            self._give_up_lost()
            for frozen in self.running():
                if frozen.number not in self._mine and frozen.user_attrs.get("mark") == self.mark:
                    job = TrialJob(self, Trial(self.study, frozen._trial_id))
                    if job.claim():
                        if self._prepare(job):
                            return job
                    elif job.orphaned():
                        self._saving = True
                        return None
            while (waits := self._in(TrialState.WAITING)) or len(self._counted()) < self.count:
                if not waits:  # it has our mark from its first instant on: a kill leaves none that is nobody's
                    self.study.enqueue_trial({}, user_attrs={"mark": self.mark})
                job = TrialJob(self, self.study.ask())
                job.trial.set_user_attr("mark", self.mark)
                job.run.set_aside()  # what a study of this name had left that is no more
                if job.claim() and self._prepare(job):
                    return job
        return None

    def waiting(self) -> bool:
        """Whether other commands still have trials; says so once."""
        running = self.running()
        if running and not self._said:
            self._said = True
            print(f"waiting for {len(running)} trials of other commands", flush=True)
        return bool(running)

    def tell(self, trial: Trial, state: TrialState, value: float | None = None, reason: str = "") -> None:
        if reason:
            trial.set_user_attr("reason", " ".join(reason.split()))
        self.study.tell(trial, value, state, skip_if_finished=True)
        remove_checkpoints(self.path(trial.number))
        self._mine.discard(trial.number)
        self._ended += 1
        self._say(self.study.get_trials(deepcopy=False)[trial.number])
        self._failures = self._failures + 1 if state == TrialState.FAIL and not reason.startswith("diverged") else 0
        if self._failures >= HOPELESS:
            raise UserError(
                f"{self._failures} trials in a row failed: {trial.user_attrs['reason']} (see {self.folder}): mend it and "
                "repeat the command, it goes on with the next"
            )

    def path(self, number: int) -> Path:
        return self.folder / f"{number:04d}"

    def best(self) -> FrozenTrial | None:
        return winner(self.study)

    def left(self) -> bool:
        """Whether there is a trial to begin, or to go on with."""
        return bool(self._in(TrialState.RUNNING, TrialState.WAITING)) or len(self._counted()) < self.count

    def runs(self) -> list[RunFolder]:
        """Of the trials of this file system that count."""
        return [RunFolder(self.path(trial.number)) for trial in self._counted() if trial.user_attrs.get("mark") == self.mark]

    def failed(self) -> int:
        """How many trials have failed, but for those that were begun anew."""
        return sum(trial.state == TrialState.FAIL for trial in self._counted())

    def _in(self, *states: TrialState) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False, states=states)

    def running(self) -> list[FrozenTrial]:
        return self._in(TrialState.RUNNING)

    def _counted(self) -> list[FrozenTrial]:
        return [trial for trial in self.study.get_trials(deepcopy=False) if "lost" not in trial.user_attrs]

    def _prepare(self, job: TrialJob) -> bool:
        """Give a claimed trial its parameters and its command; False, and the trial told, where there is nothing to train."""
        trial = job.trial
        if not any(frozen.number == trial.number for frozen in self.running()):  # told before it could be claimed
            job.close()
            return False
        self._mine.add(trial.number)
        for parameter in self.parameters:
            draw(trial, parameter)
        job.sign()
        job.words += [*self.shared, *words(self.parameters, trial.params)]
        try:
            config = self.compose(job.words)
        except UserError as error:
            self.tell(trial, TrialState.FAIL, reason=str(error))
            job.close()
            return False
        if trial.user_attrs.get("pruned"):
            self.tell(trial, TrialState.PRUNED)
            job.close()
            return False
        changes = job.changes(config)
        if changes or "lost" in trial.user_attrs:  # the study has the old training's distances under this number
            self._give_up(trial, f"begun anew under another number: {job.run.path.name} could not go on")
            job.set_aside(changes or ["it was given up"])
            job.close()
            return False
        job.budget = config["stop"]["images"]
        return True

    def _tidy(self) -> None:
        """Remove the checkpoints of trials that had just been told when their command was killed; set aside those given up."""
        for frozen in self._in(*(state for state in TrialState if state.is_finished())):
            job = Job(self.path(frozen.number))
            if frozen.user_attrs.get("mark") == self.mark and job.run.checkpoints.exists() and job.claim():
                if "lost" in frozen.user_attrs:
                    job.run.set_aside()
                remove_checkpoints(job.run.path)
                job.close()

    def _give_up_lost(self) -> None:
        """Trials of machines that no longer give a sign of life are begun anew, here or elsewhere."""
        for frozen in self.running():
            started = frozen.datetime_start or datetime.now()
            seen = frozen.user_attrs.get("seen", started.timestamp())
            if frozen.user_attrs.get("mark") == self.mark or time.time() - seen < SILENCE:
                continue
            self._give_up(Trial(self.study, frozen._trial_id), f"no sign of life for {SILENCE / 60:.0f} minutes: begun anew")

    def _give_up(self, trial: Trial, reason: str) -> None:
        """A trial that cannot go on is begun anew under another number, here or elsewhere, and not counted.

        A kill may fall between any two lines: it is given up once more then, and its parameters are begun anew once.
        """
        with contextlib.suppress(UpdateFinishedTrialError, ValueError):  # somebody else was faster
            trial.set_user_attr("lost", True)
            trial.set_user_attr("reason", reason)
            if not any(other.user_attrs.get("instead_of") == trial.number for other in self.study.get_trials(deepcopy=False)):
                self.study.enqueue_trial(trial.params, user_attrs={"mark": self.mark, "instead_of": trial.number})
            self.study.tell(trial, state=TrialState.FAIL)

    def _say(self, trial: FrozenTrial) -> None:
        """A line for a trial that has ended: number, state, score, the best so far, how many are left and for how long."""
        score = trial.user_attrs["reason"] if trial.state == TrialState.FAIL else f"{trial.value:.4g}"
        parts = [f"trial {trial.number}", STATES[trial.state], score]
        if best := self.best():
            parts.append(f"best {best.value:.4g} (trial {best.number})")
        counted = self._counted()
        done = sum(found.state.is_finished() for found in counted)
        total = max(self.count, len(counted))
        left = (time.monotonic() - self._start) / self._ended * (total - done)
        parts += [f"{done} of {total}", f"left {left // 3600:.0f}:{left // 60 % 60:02.0f}:{left % 60:02.0f}"]
        print("  ".join(parts), flush=True)


def remove_checkpoints(run: Path) -> None:
    """Of a trial that has ended: the winner is trained again, and those of many trials would fill the disk."""
    shutil.rmtree(RunFolder(run).checkpoints, ignore_errors=True)


def draw(trial: Trial, parameter: Parameter) -> Any:
    """A trial's value, drawn now if it has none yet."""
    key, distribution = parameter.key, parameter.distribution
    if parameter.choices:
        return trial.suggest_categorical(key, distribution.choices)
    suggest = trial.suggest_int if isinstance(distribution.low, int) else trial.suggest_float
    return suggest(key, distribution.low, distribution.high, step=distribution.step, log=distribution.log)
