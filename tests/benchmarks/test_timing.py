"""Order, medians and tables of the benchmarks."""

import json
from pathlib import Path

import pytest

from benchmarks import timing


def test_ways_take_turns_forwards_and_backwards() -> None:
    order: list[str] = []
    ways = {name: lambda name=name: order.append(name) or float(len(order)) for name in "abc"}
    found = timing.alternate(ways, rounds=2, threads=1)
    assert "".join(order) == "abccba"
    assert found == {"a": [1, 6], "b": [2, 5], "c": [3, 4]}


def test_ratios_are_those_of_the_rounds() -> None:
    (row,) = timing.compare("it", "s", {"ours": [1.0, 2.0, 9.0], "theirs": [2.0, 2.0, 3.0]}, {"theirs": 0.9})
    assert (row.ours, row.theirs) == (2.0, 2.0)
    assert (row.low, row.ratio, row.high) == (0.5, 1.0, 3.0)
    assert row.reached is False


def test_clock_leaves_the_warm_up_out() -> None:
    clock = timing.Clock(warmup=2, updates=2)
    clock.ticks = [0.0, 5.0, 5.5, 6.0, 100.0]
    assert clock.milliseconds() == pytest.approx(500)


def test_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [timing.Row("alone", "s", 1.25, reach=1.5), *timing.compare("both", "ms", {"ours": [1.0], "it": [4.0]}, {"it": 0.2})]
    parser = timing.parser(None, rounds=1)
    parser.add_argument("--peer", type=Path)
    arguments = parser.parse_args(["--json", str(tmp_path / "it.json"), "--peer", str(tmp_path / "checkout")])
    timing.report("name", "as\nit was", rows, arguments)
    printed = capsys.readouterr().out.splitlines()
    assert printed[2] == "| alone | 1.25 s |  |  |  |  | 1.5 s | reached |"
    assert printed[3] == "| both | 1 ms | it | 4 ms | 0.25 | 0.25 to 0.25 | 0.2 | **not reached** |"
    record = json.loads((tmp_path / "it.json").read_text())
    assert record["protocol"] == "as it was"
    assert record["settings"] == {"threads": 1, "rounds": 1, "peer": "checkout"}
    assert [row["reached"] for row in record["rows"]] == [True, False]
