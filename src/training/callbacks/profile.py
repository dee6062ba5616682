"""Profile training steps: a trace for a browser, and a table."""

from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, Trainer
from torch.profiler import ProfilerActivity, profile, supported_activities

from src.models.model import Model
from src.system.files import write_atomic

ROWS = 25  # operations in the table


class Profile(Callback):
    """Profiles whole blocks of at least `updates` updates in all, from the run's second block on; the first is warm-up.

    folder: gets `trace.json`, for https://ui.perfetto.dev or chrome://tracing, and `summary.txt`, which is printed too.
    """

    def __init__(self, folder: Path, updates: int) -> None:
        self.folder, self.updates = folder, updates
        self._profiler: profile | None = None
        self._before = 0  # the step before the first one recorded

    def on_train_batch_start(self, trainer: Trainer, model: Model, batch: Any, index: int) -> None:
        if index == 1:
            self._before = model.step
            self._profiler = profile(activities=supported_activities())
            self._profiler.start()

    def on_train_batch_end(self, trainer: Trainer, model: Model, *_: Any) -> None:
        if model.step - self._before >= self.updates:
            self.write(model.step)

    def on_train_end(self, trainer: Trainer, model: Model) -> None:
        self.write(model.step)

    def write(self, step: int) -> None:
        if self._profiler is None:
            return
        self._profiler.stop()
        self.folder.mkdir(exist_ok=True)
        text = f"steps {self._before + 1:,} to {step:,}\n{table(self._profiler, step - self._before)}"
        write_atomic(self.folder / "summary.txt", text.encode())
        trace = self.folder / "trace.json"
        self._profiler.export_chrome_trace(str(trace))
        self._profiler = None
        print(f"\n{text}trace: {trace}, to be opened in https://ui.perfetto.dev", flush=True)


def table(profiler: profile, updates: int) -> str:
    """A table of the operations with the longest own time, the rest in one row; times of the GPU if there is one."""
    device = "device" if ProfilerActivity.CUDA in profiler.activities else "cpu"
    own = f"self_{device}_time_total"  # microseconds
    operations = sorted(profiler.key_averages(), key=lambda operation: -getattr(operation, own))
    total = sum(getattr(operation, own) for operation in operations)
    rows = [(operation.key, operation.count, getattr(operation, own)) for operation in operations]
    shown, rest = rows[:ROWS], rows[ROWS:]
    shown.append(("all others", sum(count for _, count, _ in rest), sum(time for _, _, time in rest)))
    lines = [f"{'operation':52} {'calls':>8} {'ms':>9} {'share':>7}   (of one update)"]
    for name, count, time in shown:
        lines.append(f"{name[:52]:52} {count / updates:8.1f} {time / updates / 1e3:9.3f} {time / total:7.1%}")
    return "\n".join(lines) + "\n"
