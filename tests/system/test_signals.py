"""The first signal is noted, the second raises, and then everything is as it was."""

import os
import signal
from typing import Any

import pytest

from src.system.signals import NotedSignals


def test_the_first_is_noted_and_the_second_raises(capsys: Any) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with NotedSignals("stopping") as signals:
        assert signals.number is None
        os.kill(os.getpid(), signal.SIGTERM)
        assert signals.number == signal.SIGTERM
        assert capsys.readouterr().out == "\nSIGTERM: stopping\n"
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        assert signals.number == signal.SIGTERM
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_that_comes_to_all_and_from_the_launcher_counts_once(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with NotedSignals("") as signals:
        for _ in range(2):
            os.kill(os.getpid(), number)
        assert signals.number == number
        monkeypatch.setattr("src.system.signals.REPEAT_SECONDS", 0.0)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)


def test_caught_again_after_another_library() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with NotedSignals("") as signals:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signals.catch()
        os.kill(os.getpid(), signal.SIGTERM)
        assert signals.number == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == before


def test_one_of_several_processes_says_nothing(capsys: Any) -> None:
    with NotedSignals("") as signals:
        os.kill(os.getpid(), signal.SIGINT)
    assert signals.number == signal.SIGINT
    assert capsys.readouterr().out == ""
