"""End a run when its budget is used up or its target is reached, and measure its cost."""

import resource
import sys
import time
from typing import Any

import torch
from pytorch_lightning import Callback, Trainer

from src.models.model import Model
from src.parallel.collectives import largest, total
from src.system.energy import PackageCounters
from src.training.callbacks.validation import Validate


class Budget(Callback):
    """Stops at step `last_step`, after `minutes` of training (summed over resumes), or when validation reaches `target`.

    reason: what ended the run; `otherwise`, the limit that `last_step` comes from, unless another one did. seconds: wall time.
    cpu_seconds: of all threads and ranks. energy: joules that the processors of rank 0's machine used meanwhile, for all
    programs on it; None if it has no counters.
    """

    def __init__(
        self, last_step: int | None, minutes: float | None, target: float | None, validate: Validate, otherwise: str
    ) -> None:
        self.last_step, self.minutes, self.target = last_step, minutes, target
        self.validate, self.reason, self.otherwise = validate, otherwise, otherwise
        self.seconds = self.cpu_seconds = 0.0
        self.energy: float | None = 0.0
        self.counters = PackageCounters()
        self.memory: dict[str, float] = {}
        self._start = self._cpu_start = self._cpu_before = 0.0  # moved back by the time before a resume

    def on_train_start(self, trainer: Trainer, model: Model) -> None:
        self._start = time.monotonic() - self.seconds
        self._cpu_start, self._cpu_before = time.process_time(), self.cpu_seconds
        self.counters.joules()  # counts from here
        if model.step == self.last_step:  # all updates were made before the resume
            trainer.should_stop = True

    def on_train_batch_end(self, trainer: Trainer, model: Model, *_: Any) -> None:
        self.seconds = largest(time.monotonic() - self._start)
        self.cpu_seconds = self._cpu_before + total(time.process_time() - self._cpu_start)
        used = self.counters.joules()
        self.energy = None if used is None or self.energy is None else self.energy + used
        last = self.validate.last
        if self.target is not None and last is not None and self.validate.main.reached(last, self.target):
            self._stop(trainer, "target")
        elif self.minutes is not None and self.seconds >= 60 * self.minutes:
            self._stop(trainer, "minutes")
        elif model.step == self.last_step:
            trainer.should_stop = True

    def on_train_end(self, trainer: Trainer, model: Model) -> None:
        self.memory = {name: largest(value) for name, value in peak_memory().items()}
        if self.reason == self.otherwise and model.step != self.last_step:
            self.reason = "callback"  # a user's callback

    def on_exception(self, trainer: Trainer, model: Model, exception: BaseException) -> None:
        self.memory = peak_memory()

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self.seconds, "cpu_seconds": self.cpu_seconds, "energy": self.energy}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.seconds, self.cpu_seconds = state["seconds"], state.get("cpu_seconds", 0.0)
        self.energy = state.get("energy")

    def spent(self) -> dict[str, float]:
        """For the manifest: times and energy, summed over resumes; peak memory of a process, since the last resume."""
        memory = {name: held for name, held in self.memory.items() if held}
        energy = {} if self.energy is None else {"cpu_energy_joules": round(self.energy, 1)}
        return {"seconds": round(self.seconds, 3), "cpu_seconds": round(self.cpu_seconds, 3), **energy, **memory}

    def _stop(self, trainer: Trainer, reason: str) -> None:
        self.reason = reason
        trainer.should_stop = True


def peak_memory() -> dict[str, float]:
    """Peak memory of this process so far, and of its GPU (0 without one), in MB of 10^6 bytes."""
    unit = 1 if sys.platform == "darwin" else 1024  # bytes, of ru_maxrss
    gpu = torch.cuda.max_memory_allocated() if torch.cuda.is_initialized() else 0
    return {
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6, 1),
        "gpu_peak_memory_mb": round(gpu / 1e6, 1),
    }
