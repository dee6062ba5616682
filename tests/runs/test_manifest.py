"""What a manifest says of the machine, and which differences count."""

import platform
import re
import sys

import pytest

from src.parallel.place import Place
from src.runs.manifest import machine, machine_changes

HERE = machine(channels_last=False) | Place().record()


def test_two_generations_of_one_name_are_two_machines() -> None:
    assert machine_changes(HERE, HERE) == []
    before = HERE | {"cpu_model": "family 26 model 2"}
    assert machine_changes(before, HERE) == [f"cpu_model family 26 model 2 -> {HERE['cpu_model']}"]


def test_manifests_from_before_they_were_told_apart_still_compare() -> None:
    before = {name: value for name, value in HERE.items() if name != "cpu_model"}
    assert machine_changes(before, HERE) == []
    assert machine_changes(before | {"cpu": "another"}, HERE) == [f"cpu another -> {HERE['cpu']}"]


@pytest.mark.skipif(sys.platform != "linux" or platform.machine() != "x86_64", reason="where /proc/cpuinfo has them")
def test_linux_tells_family_and_model() -> None:
    assert re.fullmatch(r"family \d+ model \d+", HERE["cpu_model"])


def test_the_sum_of_more_than_two_depends_on_their_machines() -> None:
    one, two = (HERE | {"processes": 4, "nodes": nodes} for nodes in (1, 2))
    assert machine_changes(one, two) == ["nodes 1 -> 2"]
    assert machine_changes(one | {"processes": 2}, two | {"processes": 2}) == []
