"""A folder like /sys/class/powercap of a machine with two packages; the tests' machines may have none of their own."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from src.system.energy import PackageCounters
from src.training.callbacks.budget import Budget

MODEL: Any = SimpleNamespace(step=1)


def domain(root: Path, folder: str, name: str, microjoules: int) -> Path:
    path = root / folder
    path.mkdir(parents=True)
    for file, text in (("name", name), ("energy_uj", microjoules), ("max_energy_range_uj", 1000_000_000)):
        (path / file).write_text(f"{text}\n")
    return path


@pytest.fixture
def packages(tmp_path: Path) -> list[Path]:
    made = [domain(tmp_path, f"intel-rapl:{n}", f"package-{n}", 5_000_000) for n in (0, 1)]
    domain(tmp_path, "intel-rapl:0:0", "core", 1)  # a part of package 0
    domain(tmp_path, "intel-rapl:2", "psys", 1)  # the whole machine, packages included
    domain(tmp_path, "intel-rapl-mmio:0", "package-0", 5_000_000)  # package 0 once more
    return made


def count(package: Path, microjoules: int) -> None:
    (package / "energy_uj").write_text(f"{microjoules}\n")


def test_all_packages_once_since_the_last_call(packages: list[Path], tmp_path: Path) -> None:
    counters = PackageCounters(tmp_path)
    assert counters.joules() == 0
    count(packages[0], 7_500_000)
    count(packages[1], 6_000_000)
    assert counters.joules() == 3.5
    assert counters.joules() == 0


def test_a_counter_that_begins_again(packages: list[Path], tmp_path: Path) -> None:
    count(packages[0], 999_000_000)
    counters = PackageCounters(tmp_path)
    count(packages[0], 2_000_000)
    assert counters.joules() == 3


def test_nothing_where_nothing_can_be_read(packages: list[Path], tmp_path: Path) -> None:
    assert PackageCounters(tmp_path / "nothing").joules() is None
    counters = PackageCounters(tmp_path)
    (packages[1] / "energy_uj").unlink()
    assert counters.joules() is None


def test_a_run_adds_up_its_sittings(packages: list[Path], tmp_path: Path) -> None:
    def sitting(budget: Budget, microjoules: int) -> Budget:
        budget.counters = PackageCounters(tmp_path)
        budget.on_train_start(None, MODEL)  # type: ignore[arg-type]
        count(packages[0], microjoules)
        budget.on_train_batch_end(None, MODEL)  # type: ignore[arg-type]
        return budget

    def new() -> Budget:
        validate: Any = SimpleNamespace(last=None)
        return Budget(last_step=9, minutes=None, target=None, validate=validate, otherwise="samples")

    first = sitting(new(), 9_000_000)
    count(packages[0], 20_000_000)  # by others, between the sittings
    second = new()
    second.load_state_dict(first.state_dict())
    assert sitting(second, 21_000_000).spent()["cpu_energy_joules"] == 5

    second.counters = PackageCounters(tmp_path / "nothing")
    second.on_train_batch_end(None, MODEL)  # type: ignore[arg-type]
    assert "cpu_energy_joules" not in second.spent()
