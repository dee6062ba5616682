"""The code, locked packages and machine of a result, as its manifest records them: a number can depend on all of these."""

import importlib.metadata
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from src.config.identity import data_digest
from src.runs.code import sources
from src.system.files import sha256

ROOT = Path(__file__).parents[2]
MACHINE = ("threads", "cpu", "cpu_model", "cpu_capability", "matmul_precision", "channels_last", "cuda")
SPLIT = ("processes", "nodes")  # how many parts a batch is divided into
STRATEGY = "strategy"  # compared between equal numbers of processes
PACKAGES = ("torch", "pytorch-lightning", "numpy", "torch-fidelity")


def software(config: Mapping[str, Any]) -> dict[str, Any]:
    """Commit, hash of the lock file, and hash of each source file behind a config's run; does not import torch."""
    return {"commit": commit(), "lock": sha256(ROOT / "requirements.lock"), "sources": sources("src.train", config)}


# Values of settings that a manifest lacks because it is older than they are.
MANIFEST_DEFAULTS: dict[str, Any] = {"matmul_precision": "highest", "channels_last": False}


def machine(channels_last: bool) -> dict[str, Any]:
    """The properties of this machine that rounding depends on. channels_last: memory layout of the run's convolutions."""
    import torch

    return {
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
        "platform": platform.platform(),
        "threads": torch.get_num_threads(),
        "cpu": cpu(),
        "cpu_model": cpu_model(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "matmul_precision": torch.get_float32_matmul_precision(),
        "channels_last": channels_last,
        "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def software_changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """How code and lock file differ from an earlier manifest's, as text; empty if they do not."""
    changes = []
    old, new = before.get("sources", {}), now["sources"]
    # A removed file needs no check: the files that imported it have changed too.
    if files := sorted(name for name in new if old and old.get(name) != new[name]):
        shown = ", ".join(files[:3]) + (f" and {len(files) - 3} more" if len(files) > 3 else "")
        changes.append(f"code of {before['commit'][:8]} -> {now['commit'][:8]}: {shown}")
    if before.get("lock", now["lock"]) != now["lock"]:
        changes.append("requirements.lock")
    return changes


def data_changes(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """How the files of a data set differ from earlier ones, by their hashes, as text."""
    if data_digest(before) == data_digest(now):
        return []
    return [f"data file {name} has other bytes" for name in sorted({*before, *now}) if before.get(name) != now.get(name)]


def machine_changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """How this machine differs from an earlier manifest's, where that can change the last bits of a result, as text."""
    changes = []
    for name in PACKAGES:
        old, new = before["packages"].get(name), now["packages"].get(name)
        if old != new:
            changes.append(f"{name} {old} -> {new}")
    before = MANIFEST_DEFAULTS | dict(before)
    for part in MACHINE:
        if part in before and before[part] != now[part]:  # early manifests have no cpu_model
            changes.append(f"{part} {before[part]} -> {now[part]}")
    return changes + place_changes(before, now)


def place_changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """How the division of batch and model differs between an earlier manifest and a `Place.record()`, as text."""
    changes = []
    for part in SPLIT:
        if part == "nodes" and now["processes"] < 3:  # a sum of two terms does not depend on their order
            continue
        if before.get(part, 1) != now[part]:
            changes.append(f"{part} {before.get(part, 1)} -> {now[part]}")
    if before.get("processes") == now["processes"] and before.get(STRATEGY, now[STRATEGY]) != now[STRATEGY]:
        changes.append(f"{STRATEGY} {before[STRATEGY]} -> {now[STRATEGY]}")
    if (old := before.get("batch_norm")) and now["batch_norm"] not in (None, old):
        changes.append(f"batch norm {old} -> {now['batch_norm']}")
    return changes


def cpu() -> str:
    """The CPU's name. CPUs with the same instruction set can round differently: libraries choose code by manufacturer."""
    return cpuinfo().get("model name") or platform.processor() or platform.machine()


def cpu_model() -> str | None:
    """The CPU's family and model, on Linux: virtual machines may give one name to generations that libraries distinguish."""
    found = cpuinfo()
    return f"family {found['cpu family']} model {found['model']}" if "cpu family" in found else None


def cpuinfo() -> dict[str, str]:
    """/proc/cpuinfo's entries for the last processor; empty if there is no such file."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return {}
    return {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


def commit() -> str:
    """The commit, with "+changes" where the code differs from it; "unknown" outside a git checkout."""
    try:
        head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=10)
        status = ["git", "status", "--porcelain", "--", "src", "conf", "requirements.lock"]  # not results/: runs write there
        changes = subprocess.run(status, cwd=ROOT, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return head.stdout.strip() + ("+changes" if changes.stdout.strip() else "")
