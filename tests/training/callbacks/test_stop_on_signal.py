"""What comes while the processes agree is not lost. That runs stop at signals: tests/test_train.py."""

import os
import signal
from typing import Any

import pytest

from src.training.callbacks import stop_on_signal as signals
from src.training.callbacks.stop_on_signal import StopOnSignal


def test_a_signal_during_the_message_counts_at_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing: Any = None

    def largest(value: float) -> float:
        """The message of before the signal."""
        if not sent:
            sent.append(1)
            os.kill(os.getpid(), signal.SIGTERM)
        return value

    sent: list[int] = []
    monkeypatch.setattr(signals, "largest", largest)
    stop = StopOnSignal()
    stop.setup(nothing, nothing, "fit")
    try:
        stop._agree()
        assert stop.number is None
        stop._agree()
        assert stop.number == signal.SIGTERM
    finally:
        stop.release()
