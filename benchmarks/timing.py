"""Code that the benchmarks share: measure ways of doing the same work in turn, take medians, print one form of table."""

import argparse
import contextlib
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from src.runs.manifest import commit, machine

HEAD = "| figure | ours | against | theirs | ratio | of the rounds | to reach | |\n|-|-:|-|-:|-:|-|-:|-|"


@dataclass(frozen=True)
class Row:
    """One figure.

    ours, theirs: medians over the rounds, in `unit`; theirs is None for a figure that stands alone.
    ratio: ours / theirs, the median of the rounds' own ratios; low, high: the smallest and the largest of them.
    reach: target for the ratio (or for ours, if it stands alone), at most; None without a target.
    """

    figure: str
    unit: str
    ours: float
    against: str | None = None
    theirs: float | None = None
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    reach: float | None = None

    @property
    def reached(self) -> bool | None:
        value = self.ours if self.ratio is None else self.ratio
        return None if self.reach is None else value <= self.reach


def alternate(ways: Mapping[str, Callable[[], float]], rounds: int, threads: int) -> dict[str, list[float]]:
    """Measure each way once per round, in alternating order, so that a drift of the machine's speed affects all equally."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds):
        for name in list(ways)[:: 1 if number % 2 == 0 else -1]:
            as_torch_starts(threads)
            found[name].append(ways[name]())
        print(f"round {number + 1}:", {name: round(values[-1], 3) for name, values in found.items()}, file=sys.stderr)
    return found


def as_torch_starts(threads: int) -> None:
    """Reset torch's global settings, which our training changes, and set the threads."""
    import torch

    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "0"  # Lightning's import sets it to 1, which slows each optimizer step
    torch.set_num_threads(threads)
    torch.set_float32_matmul_precision("highest")
    torch.set_flush_denormal(False)
    torch.use_deterministic_algorithms(False)
    torch.utils.deterministic.fill_uninitialized_memory = True  # type: ignore[attr-defined]
    torch.backends.cudnn.deterministic = False


def compare(
    figure: str, unit: str, found: Mapping[str, list[float]], reach: Mapping[str, float] | None = None, ours: str = "ours"
) -> list[Row]:
    """A row for each other way. Ratios are taken within a round, in which the machine was the same for both ways."""
    rows = []
    for name, theirs in found.items():
        if name != ours:
            ratios = sorted(a / b for a, b in zip(found[ours], theirs, strict=True))
            medians = statistics.median(found[ours]), name, statistics.median(theirs)
            rows.append(Row(figure, unit, *medians, statistics.median(ratios), ratios[0], ratios[-1], (reach or {}).get(name)))
    return rows


def now() -> float:
    """Seconds on the clock that `use_clock` has chosen."""
    return _seconds()


def use_clock(cpu: bool) -> str:
    """Count the CPU time of this process, or else the time. Returns the unit of the figures."""
    global _seconds
    _seconds = time.process_time if cpu else time.perf_counter
    return "CPU ms" if cpu else "ms"


_seconds = time.perf_counter


class Clock:
    """Milliseconds per update of a loop that calls `tick` after each of its updates; the first `warmup` do not count."""

    def __init__(self, warmup: int, updates: int) -> None:
        self.warmup, self.total = warmup, warmup + updates
        self.ticks: list[float] = []

    def tick(self) -> None:
        self.ticks.append(now())

    def milliseconds(self) -> float:
        assert len(self.ticks) >= self.total, f"{len(self.ticks)} updates were made, not {self.total}"
        return (self.ticks[self.total - 1] - self.ticks[self.warmup - 1]) / (self.total - self.warmup) * 1e3


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Discard standard output, so that figures do not depend on the terminal's speed."""
    with open("/dev/null", "w") as void, contextlib.redirect_stdout(void):
        yield


def parser(description: str | None, rounds: int) -> argparse.ArgumentParser:
    """The options that all benchmarks have."""
    found = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    found.add_argument("--threads", type=int, default=1)
    found.add_argument("--rounds", type=int, default=rounds)
    found.add_argument("--note", default="", help="added to the record's protocol, e.g. what else the machine did")
    found.add_argument("--json", type=Path, help="write the figures here too")
    return found


def add_cpu(found: argparse.ArgumentParser) -> None:
    """The option of benchmarks that can count CPU time."""
    text = "count the CPU time of this process, where other programs take a part of the cores; for one thread"
    found.add_argument("--cpu", action="store_true", help=text)


def report(name: str, protocol: str, rows: list[Row], arguments: argparse.Namespace) -> None:
    """Print the table. With --json, also write it, with machine, settings and protocol."""
    record = {
        "benchmark": name,
        "date": time.strftime("%Y-%m-%d"),
        "commit": commit(),
        "machine": machine(channels_last=False),
        # Only the last part of paths: the rest is specific to this machine.
        "settings": {
            key: value.name if isinstance(value, Path) else value
            for key, value in vars(arguments).items()
            if key not in ("json", "note")
        },
        "protocol": " ".join([*protocol.split(), *arguments.note.split()]),
        "rows": [asdict(row) | {"reached": row.reached} for row in rows],
    }
    print(table(record["rows"]))
    if arguments.json:
        arguments.json.write_text(json.dumps(record, indent=2, default=str) + "\n")


def table(rows: list[dict[str, Any]]) -> str:
    """Rows of a record as Markdown."""
    return "\n".join([HEAD, *map(line, rows)])


def line(row: dict[str, Any]) -> str:
    ours, theirs = (f"{row[side]:.4g} {row['unit']}" if row[side] is not None else "" for side in ("ours", "theirs"))
    ratio, rounds = ("", "") if row["ratio"] is None else (f"{row['ratio']:.2f}", f"{row['low']:.2f} to {row['high']:.2f}")
    reach = "" if row["reach"] is None else f"{row['reach']:g}" + ("" if row["ratio"] is not None else f" {row['unit']}")
    mark = {None: "", True: "reached", False: "**not reached**"}[row["reached"]]
    return f"| {row['figure']} | {ours} | {row['against'] or ''} | {theirs} | {ratio} | {rounds} | {reach} | {mark} |"
