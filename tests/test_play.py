"""Mistakes of the command line; the page itself is in tests/page."""

import importlib.util
import socket
import subprocess
from collections.abc import Callable

import pytest

Command = Callable[..., subprocess.CompletedProcess]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["host=0.0.0.0"], "only this machine may use it"),
        (["host=192.168.0.1"], "only this machine may use it"),
        (["port=65536"], "port=65536: must be a whole number from 0 to 65,535"),
        (["most=0"], "most=0: must be a whole number of at least 1"),
        (["open=perhaps"], "open='perhaps': must be true or false"),
        (["share=true"], "there is no setting 'share'"),
        (["runs=nowhere"], "no finished run with weights there"),
        (["filter.words=nowhere.txt"], "filter.words=nowhere.txt: cannot read it"),
        (["filter.prompt=red heart"], "filter.prompt= needs filter.clip="),
    ],
)
def test_mistakes_take_one_line(in_process: Command, words: list[str], message: str) -> None:
    result = in_process("play", *words)
    assert result.returncode == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_without_starlette_it_says_how_to_install_it(in_process: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *rest: None if name == "starlette" else real(name, *rest))
    result = in_process("play")
    assert result.returncode == 2
    assert "--editable '.[play]'" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_port_that_is_taken(in_process: Command) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = in_process("play", f"port={taken.getsockname()[1]}", "open=false")
    assert result.returncode == 2
    assert "take another, or 0 for any free one" in result.stderr
